"""How fast a folder's images become pixels, by threads and by drafts, and what drafts do to the pixels.

python -m benchmarks.decoding --photos photos
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from benchmarks.environment import Environment
from benchmarks.results import write_results
from splitwire.cores import usable_cores
from splitwire.errors import DatasetError, SplitwireError
from splitwire.preprocess import Preprocess, decode_image
from trainer.data.decoding import decode_files, refuse_unreadable
from trainer.data.draft import MARGIN, fit_draft
from trainer.data.files import image_files
from trainer.data.preprocessing import for_photos

__all__ = ["Difference", "Speed", "difference", "main", "speed"]


@dataclass(frozen=True, slots=True)
class Speed:
    """Images a second, at best: one after another, and by as many threads or processes as there are cores."""

    size: int
    draft: bool
    loop: float
    workers: float
    processes: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Between pixels of drafts and those that are served, of 255. images: of which a draft was made."""

    size: int
    margin: int
    images: int
    mean: float
    worst_mean: float
    largest: int


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    environment = Environment.read("benchmarks.decoding", arguments)
    print(f"{environment}\n", flush=True)
    try:
        with _photos(options) as paths, _pool() as pool:
            print(_described(paths), flush=True)
            fits = [for_photos(size) for size in options.image_size]
            speeds = [speed(paths, f, draft, options.repeats, pool) for f in fits for draft in (False, True)]
            print(_speeds(speeds), flush=True)
            differences = [difference(paths, f, margin) for f in fits for margin in (1, MARGIN)]
            print(_differences(differences))
    except SplitwireError as error:
        print(f"benchmarks.decoding: error: {error}", file=sys.stderr)
        return 2
    if options.out:
        records = [{"record": "speed", **asdict(found)} for found in speeds]
        records += [{"record": "difference", **asdict(found)} for found in differences]
        write_results(options.out, environment, records)
    return 0


def speed(
    paths: Sequence[Path], preprocess: Preprocess, draft: bool, repeats: int, pool: ProcessPoolExecutor
) -> Speed:
    """In turns, and the best of each: what else the machine does takes time. Processes keep no pixels."""
    pixels = np.empty((len(paths), preprocess.size, preprocess.size, 3), np.uint8)
    shares = [paths[i :: usable_cores()] for i in range(usable_cores())]

    def workers() -> None:
        with tqdm(disable=True) as bar:
            refuse_unreadable(decode_files(paths, preprocess, pixels, bar, draft=draft), len(paths))

    def processes() -> None:
        list(pool.map(_loop, shares, repeat(preprocess), repeat(draft)))

    rounds = [
        (_seconds(partial(_loop, paths, preprocess, draft)), _seconds(workers), _seconds(processes))
        for _ in range(repeats)
    ]
    rates = [len(paths) / min(times) for times in zip(*rounds, strict=True)]
    return Speed(preprocess.size, draft, *rates)


def _loop(paths: Sequence[Path], preprocess: Preprocess, draft: bool) -> None:
    for path in paths:
        data = path.read_bytes()
        if not draft or fit_draft(data, preprocess) is None:
            preprocess.fit(decode_image(data))


@contextmanager
def _pool() -> Iterator[ProcessPoolExecutor]:
    """Processes that have begun, and imported what they need."""
    with ProcessPoolExecutor(usable_cores(), get_context("spawn")) as pool:
        list(pool.map(_loop, [[]] * usable_cores(), repeat(for_photos()), repeat(False)))
        yield pool


def difference(paths: Sequence[Path], preprocess: Preprocess, margin: int) -> Difference:
    means, largest = [0.0], 0
    drafted = 0
    for data in (path.read_bytes() for path in paths):
        found = fit_draft(data, preprocess, margin=margin)
        if found is not None:
            apart = np.abs(found.astype(int) - preprocess.fit(decode_image(data)))
            means.append(float(apart.mean()))
            largest, drafted = max(largest, int(apart.max())), drafted + 1
    return Difference(preprocess.size, margin, drafted, sum(means) / max(1, drafted), max(means), largest)


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextmanager
def _photos(options: argparse.Namespace) -> Iterator[list[Path]]:
    """The JPEG files below the folder, or enlarged copies of them."""
    folders = [options.photos, *sorted(path for path in options.photos.rglob("*") if path.is_dir())]
    if not options.photos.is_dir():
        raise DatasetError(f"no folder {options.photos}: expected one with photos")
    jpeg = (".jpg", ".jpeg")
    paths = [file for folder in folders for file in image_files(folder) if file.suffix.lower() in jpeg]
    if not paths:
        raise DatasetError(f"{options.photos} has no JPEG files")
    count = min(options.count, len(paths))
    chosen = [paths[i * len(paths) // count] for i in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        yield [_enlarged(path, options.megapixels, Path(folder)) for path in chosen]


def _enlarged(path: Path, megapixels: float | None, into: Path) -> Path:
    if megapixels is None:
        return path
    image = Image.fromarray(decode_image(path.read_bytes()))
    scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
    size = (round(image.width * scale), round(image.height * scale))
    target = into / f"{len(list(into.iterdir()))}.jpg"
    image.resize(size, Image.Resampling.BICUBIC).save(target, quality=90)
    return target


def _described(paths: Sequence[Path]) -> str:
    sizes = []
    for path in paths:
        with Image.open(path) as image:
            sizes.append(image.width * image.height / 1e6)
    megabytes = sum(path.stat().st_size for path in paths) / 1e6
    return (
        f"{len(paths)} JPEG files, {statistics.median(sizes):.2f} megapixels (median), "
        f"{megabytes / len(paths):.2f} MB (mean)\n"
    )


def _speeds(speeds: Sequence[Speed]) -> str:
    both = f"{f'{usable_cores()} threads':>12}{'ratio':>8}{f'{usable_cores()} processes':>15}{'ratio':>8}"
    title = f"{'images/s, at best':24}{'plain loop':>12}{both}"
    rows = [
        f"{s.size:4} px, {'draft' if s.draft else 'no draft':14}{s.loop:12.1f}{s.workers:12.1f}"
        f"{s.workers / s.loop:8.2f}{s.processes:15.1f}{s.processes / s.loop:8.2f}"
        for s in speeds
    ]
    return "\n".join([title, *rows, ""])


def _differences(differences: Sequence[Difference]) -> str:
    title = f"{'draft, of 255':24}{'images':>12}{'mean':>12}{'worst mean':>12}{'largest':>9}"
    rows = [
        f"{d.size:4} px, margin {d.margin:<7}{d.images:12}{d.mean:12.2f}{d.worst_mean:12.2f}{d.largest:9}"
        for d in differences
    ]
    return "\n".join([title, *rows])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Images a second, and what drafts do to pixels.")
    add = parser.add_argument
    add("--photos", type=Path, required=True, metavar="DIR", help="JPEG files, in whatever folders below")
    add("--image-size", type=int, nargs="+", default=[64, 224], metavar="PX", help="default: 64 224")
    add("--count", type=int, default=500, help="so many of them, evenly spread (default: 500)")
    add("--megapixels", type=float, metavar="M", help="enlarge them to so many, as JPEG of quality 90")
    add("--repeats", type=int, default=5, help="timed runs of each (default: 5)")
    add("--out", type=Path, metavar="FILE", help="results as JSON lines")
    return parser
