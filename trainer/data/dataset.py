"""A labelled set of images in memory, as every source gives it."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splitwire.errors import DatasetError
from splitwire.preprocess import Preprocess

__all__ = ["Dataset", "Split"]

#: Images of each split: all of a large one would take minutes to read.
_FINGERPRINTED = 64


@dataclass(frozen=True, eq=False)
class Split:
    """images: uint8 (n, H, W, 3), RGB. targets: int64 (n,), indices into the dataset's labels.

    Raises:
        DatasetError: another shape or dtype, no image at all, or unequal lengths.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.int64]

    def __post_init__(self) -> None:
        shape, dtype = self.images.shape, self.images.dtype
        if len(shape) != 4 or shape[3] != 3 or 0 in shape or dtype != np.uint8:
            raise DatasetError(f"images must be uint8 (n, H, W, 3) with n > 0, got {dtype} {shape}")
        if self.targets.shape != shape[:1] or self.targets.dtype != np.int64:
            raise DatasetError(
                f"targets must be int64 ({shape[0]},), got {self.targets.dtype} {self.targets.shape}"
            )

    def __len__(self) -> int:
        return int(self.targets.shape[0])


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test images of one source, and how a served image is made to look like them.

    Both splits hold images of preprocess.size x preprocess.size: the crop is done, the normalization is not.
    flip: whether a mirrored image still deserves its label (a photo does, a digit does not).

    Raises:
        DatasetError: labels repeat or are fewer than two, a target has no label, or images have another size.
    """

    name: str
    labels: tuple[str, ...]
    train: Split
    test: Split
    preprocess: Preprocess
    flip: bool

    def __post_init__(self) -> None:
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise DatasetError(f"{self.name}: labels must be two or more, all different, got {self.labels}")
        for which, split in (("train", self.train), ("test", self.test)):
            self._check(which, split)

    def fingerprint(self) -> str:
        """Of labels, targets and some of the images, in hexadecimal: of another data set it is another."""
        found = hashlib.sha256(repr((self.name, self.labels)).encode())
        for split in (self.train, self.test):
            chosen = np.linspace(0, len(split) - 1, _FINGERPRINTED, dtype=int)
            found.update(split.targets.tobytes())
            found.update(split.images[chosen].tobytes())
        return found.hexdigest()

    def _check(self, which: str, split: Split) -> None:
        size = self.preprocess.size
        if split.images.shape[1:3] != (size, size):
            raise DatasetError(
                f"{self.name}: {which} images are {split.images.shape[1:3]}, preprocessing gives {size, size}"
            )
        least, most = int(split.targets.min()), int(split.targets.max())
        if least < 0 or most >= len(self.labels):
            raise DatasetError(
                f"{self.name}: {which} targets go from {least} to {most}, there are {len(self.labels)} labels"
            )
