"""scikit-learn's handwritten digits (UCI "Optical Recognition of Handwritten Digits"): needs no download."""

import numpy as np
from numpy.typing import NDArray

from splitwire.preprocess import Preprocess
from trainer.data.dataset import Dataset, Split

__all__ = ["PREPROCESS", "load"]

#: 8x8 is enlarged to what the 32x32-style network takes. `Preprocess` does it (bilinearly), so that an 8x8
#: picture of a digit sent to the edge becomes the very pixels that were trained on.
_SIDE = 32

#: The brightest level of the source.
_WHITE = 16

#: Mean and deviation are of all enlarged images.
PREPROCESS = Preprocess(size=_SIDE, resize=_SIDE, mean=(0.306, 0.306, 0.306), std=(0.324, 0.324, 0.324))

_TEST_SHARE = 0.2
_SEED = 0


def load() -> Dataset:
    """1,437 training and 360 test images, the same on every call; every digit has the same share of both."""
    # Importing scikit-learn takes a second, which the other datasets need not wait for.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    grey, targets = load_digits(return_X_y=True)
    images = np.stack([PREPROCESS.fit(image) for image in _rgb(grey)])
    train, test = train_test_split(
        np.arange(len(targets)), test_size=_TEST_SHARE, stratify=targets, random_state=_SEED
    )
    targets = targets.astype(np.int64)
    return Dataset(
        name="digits",
        labels=tuple(str(digit) for digit in range(10)),
        train=Split(images[train], targets[train]),
        test=Split(images[test], targets[test]),
        preprocess=PREPROCESS,
        flip=False,
    )


def _rgb(grey: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(n, 64) of 0..16 -> uint8 (n, 8, 8, 3)."""
    levels = np.rint(grey * (255 / _WHITE)).astype(np.uint8)
    return levels.reshape(-1, 8, 8, 1).repeat(3, axis=3)
