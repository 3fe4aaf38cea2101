"""Image files to pixels: once, before the first epoch, by a thread for each core.

Pillow holds no lock while it decodes and scales, so threads share the work of large photos well, that of
small ones hardly: much of it is Python's (benchmarks/decoding). An epoch then waits for no file.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from splitwire.cores import usable_cores
from splitwire.errors import DatasetError, ImageError
from splitwire.preprocess import Preprocess, decode_image
from trainer.data.dataset import Dataset, Split
from trainer.data.draft import fit_draft
from trainer.data.storage import Storage

__all__ = ["LabelledFiles", "decode_dataset", "decode_files", "refuse_unreadable"]

#: So many unreadable images are named.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class LabelledFiles:
    """A split's images, and of each the index of its label."""

    paths: Sequence[Path]
    targets: Sequence[int]


def decode_dataset(
    name: str,
    labels: tuple[str, ...],
    *,
    train: LabelledFiles,
    test: LabelledFiles,
    preprocess: Preprocess,
    storage: Storage,
    progress: bool,
) -> Dataset:
    """All images of both splits, scaled and cropped; photos, which may be mirrored.

    Training images may be drafts of theirs, see trainer/data/draft.py. Test images are decoded as those that
    are served, so that what is measured is what will be answered.

    Raises:
        DatasetError: a split is empty, images cannot be read, or there is no room for them.
    """
    for which, files in (("training", train), ("test", test)):
        if not files.paths:
            raise DatasetError(f"{name} has no {which} images")
    count = len(train.paths) + len(test.paths)
    pixels = storage.allocate(count, preprocess.size)
    of_train, of_test = pixels[: len(train.paths)], pixels[len(train.paths) :]
    with tqdm(total=count, desc="images", unit="image", disable=not progress) as bar:
        unreadable = decode_files(train.paths, preprocess, of_train, bar, draft=True)
        unreadable += decode_files(test.paths, preprocess, of_test, bar)
    refuse_unreadable(unreadable, count)
    return Dataset(
        name=name,
        labels=labels,
        train=Split(of_train, np.array(train.targets, np.int64)),
        test=Split(of_test, np.array(test.targets, np.int64)),
        preprocess=preprocess,
        flip=True,
    )


def decode_files(
    paths: Sequence[Path],
    preprocess: Preprocess,
    into: NDArray[np.uint8],
    bar: tqdm,
    *,
    draft: bool = False,
    workers: int | None = None,
) -> list[str]:
    """Fills `into`, uint8 (n, size, size, 3), in the order of `paths`; `bar` is moved by one an image.

    draft: large JPEG files at a fraction of their size. workers: threads, by default one a core.
    Returns a line for each image that cannot be read: which, and why.
    """

    def fill(index: int) -> str | None:
        try:
            into[index] = _read(paths[index], preprocess, draft)
        except (OSError, ImageError) as error:
            return f"{paths[index]}: {getattr(error, 'strerror', None) or error}"
        return None

    unreadable = []
    with ThreadPoolExecutor(usable_cores() if workers is None else workers) as pool:
        for problem in pool.map(fill, range(len(paths))):
            bar.update()
            if problem is not None:
                unreadable.append(problem)
    return unreadable


def refuse_unreadable(unreadable: Sequence[str], count: int) -> None:
    """Raises DatasetError where any of `count` images was unreadable: names the first ones, and how many."""
    if not unreadable:
        return
    if len(unreadable) == 1:
        raise DatasetError(f"cannot read {unreadable[0]}")
    left = len(unreadable) - _NAMED
    more = [f"and {left:,} more"] if left > 0 else []
    title = f"cannot read {len(unreadable):,} of {count:,} images:"
    raise DatasetError("\n  ".join([title, *unreadable[:_NAMED], *more]))


def _read(path: Path, preprocess: Preprocess, draft: bool) -> NDArray[np.uint8]:
    data = path.read_bytes()
    pixels = fit_draft(data, preprocess) if draft else None
    return preprocess.fit(decode_image(data)) if pixels is None else pixels
