"""`trainer evaluate`: bundles on all test images, beside image files. Needs no torch."""

import argparse
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from splitwire.bundle import Bundle
from splitwire.command_line import Parser
from splitwire.errors import ConfigError, DatasetError
from trainer.atomic import replace_file
from trainer.comparison import Comparison, compare
from trainer.data import DATASETS, DOWNLOADED, PHOTOS, Dataset, Split, load
from trainer.data.preprocessing import PreprocessOptions
from trainer.data.storage import Storage
from trainer.point import as_csv

__all__ = ["evaluate"]

_DESCRIPTION = """\
Accuracy and bytes of bundles over all test images of a data set. Each image goes alone through the graphs
that serve it, and its symbols through the frames that carry them. Beside that: what the same images cost as
JPEG, WebP and PNG files, and what the network makes of those.
"""

_EPILOG = """\
examples:
  trainer evaluate models/cifar10 --data data
  trainer evaluate runs/coarse/bundle runs/fine/bundle --data data --unsplit runs/unsplit/bundle --out report
      two operating points on one picture; the files are classified by a network without boundaries
"""


def evaluate(arguments: Sequence[str]) -> int:
    """Exit status 0.

    Raises:
        SplitwireError: the user's mistake.
    """
    options = _parser().parse_args(arguments)
    bundles = _named([Bundle.load(path) for path in options.bundles])
    unsplit = None if options.unsplit is None else _unsplit(Bundle.load(options.unsplit))
    if options.out is not None:
        _make_folder(options.out)
    dataset = _load(options, next(iter(bundles.values())))
    for bundle in (*bundles.values(), *([unsplit] if unsplit else [])):
        _check(bundle, dataset)
    split = _chosen(dataset.test, options.images)
    comparison = compare(
        f"{dataset.name}, {len(split):,} of {len(dataset.test):,} test images",
        bundles,
        split,
        unsplit=(unsplit.manifest.name, unsplit) if unsplit else None,
        progress=not options.quiet,
    )
    try:
        if options.out is not None:  # before printing: what reads the table may stop half way
            _write(comparison, options.out)
    finally:  # what was measured for so long is told though it cannot be written, or drawn
        print(comparison)
    return 0


def _parser() -> Parser:
    parser = Parser("trainer evaluate", _DESCRIPTION, _EPILOG)
    add = parser.add_argument
    add("bundles", type=Path, nargs="+", metavar="BUNDLE", help="each an operating point")
    add("--dataset", choices=DATASETS, help="default: what the first bundle says it was trained on")
    add("--data", type=Path, default=Path("data"), metavar="DIR", help="its folder (default: data)")
    add("--no-download", action="store_true", help=f"do not fetch {' or '.join(DOWNLOADED)} where absent")
    add("--images", type=int, metavar="N", help="N test images, evenly spread (default: all)")
    add(
        "--unsplit",
        type=Path,
        metavar="BUNDLE",
        help="trained alike but with --bits 32: classifies the files (default: the first bundle does)",
    )
    add("--out", type=Path, metavar="DIR", help="accuracy_per_byte.csv and accuracy_per_byte.png go there")
    add("--quiet", action="store_true", help="no progress bars")
    return parser


def _named(bundles: Sequence[Bundle]) -> dict[str, Bundle]:
    """By the manifest's name, or, where two have the same, by path."""
    names = [bundle.manifest.name for bundle in bundles]
    return {
        name if names.count(name) == 1 else str(bundle.path): bundle
        for name, bundle in zip(names, bundles, strict=True)
    }


def _unsplit(bundle: Bundle) -> Bundle:
    for which in ("uplink", "downlink"):
        spec = getattr(bundle.manifest, which)
        if not spec.off:
            raise ConfigError(
                f"--unsplit {bundle.path}: its {which} must be off (keep 1, 32 bits), "
                f"has keep {spec.keep:g}, {spec.bits} bits"
            )
    return bundle


def _load(options: argparse.Namespace, bundle: Bundle) -> Dataset:
    if options.images is not None and options.images < 1:
        raise ConfigError(f"images must be at least 1, got {options.images}")
    name = options.dataset or _trained_on(bundle)
    own = bundle.manifest.preprocess
    as_served = PreprocessOptions(own.size, own.resize, own.mean, own.std)
    return load(
        name,
        root=options.data,
        download=not options.no_download,
        preprocess=as_served if name in PHOTOS else PreprocessOptions(),
        storage=Storage(folder=options.out),
        progress=not options.quiet,
    )


def _trained_on(bundle: Bundle) -> str:
    """A manifest's metrics are for people, and may be any JSON."""
    training = bundle.manifest.metrics.get("training")
    name = training.get("dataset") if isinstance(training, Mapping) else None
    if name not in DATASETS:
        raise ConfigError(f"{bundle.path} does not say what it was trained on: name it with --dataset")
    return str(name)


def _check(bundle: Bundle, dataset: Dataset) -> None:
    """Raises DatasetError unless labels and input size are the bundle's."""
    manifest = bundle.manifest
    for i, (own, other) in enumerate(zip_longest(manifest.labels, dataset.labels)):
        if own != other:
            raise DatasetError(
                f"the bundle {bundle.path} has other labels than the data set {dataset.name}: "
                f"{len(manifest.labels)} and {len(dataset.labels)} of them, number {i} is "
                f"{_quoted(own)} and {_quoted(other)}"
            )
    own_input, other_input = (
        (preprocess.size, preprocess.resize) for preprocess in (manifest.preprocess, dataset.preprocess)
    )
    if own_input != other_input:
        raise DatasetError(
            f"the bundle {bundle.path} takes images of {own_input[0]} pixels, scaled to {own_input[1]}; "
            f"the data set {dataset.name} has {other_input[0]}, scaled to {other_input[1]}"
        )


def _quoted(label: str | None) -> str:
    return "absent" if label is None else repr(label)


def _chosen(split: Split, count: int | None) -> Split:
    """Evenly spread, because a folder's images are sorted by class."""
    count = len(split) if count is None else min(count, len(split))
    chosen = np.arange(count) * len(split) // count
    return Split(split.images[chosen], split.targets[chosen])


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot use the folder {folder}: {error}") from error


def _write(comparison: Comparison, folder: Path) -> None:
    from trainer.tradeoff import draw_tradeoff  # matplotlib takes a second to import

    points, note = comparison.points, f"files classified by {comparison.classifier}"
    try:
        replace_file(folder / "accuracy_per_byte.csv", as_csv(points).encode())
        picture = draw_tradeoff(points, comparison.title, note)
        replace_file(folder / "accuracy_per_byte.png", picture)
    except OSError as error:
        raise ConfigError(f"cannot write into {folder}: {error}") from error
