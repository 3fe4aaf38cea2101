"""The same network in one process: head, body and tail one after the other, nothing in between."""

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from splitwire.bundle import Bundle

__all__ = ["WholeNetwork"]

_BATCH = 64


class WholeNetwork:
    """The bundle's graphs without a wire. The boundaries' pruning and quantization are part of the graphs:
    there is no other network to compare with, since this one was trained with them."""

    def __init__(self, bundle: Bundle) -> None:
        self._preprocess = bundle.manifest.preprocess
        self._engines = [bundle.engine(role) for role in bundle.manifest.roles]

    def classify(self, images: Iterable[NDArray[np.uint8]]) -> NDArray[np.int64]:
        """uint8 (h, w, 3) each -> int64 (n,), indices into the bundle's labels."""
        rest = iter(images)
        batches = iter(lambda: list(islice(rest, _BATCH)), [])
        return np.concatenate([self._classify_batch(batch) for batch in batches])

    def _classify_batch(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.int64]:
        x = self._preprocess.normalize(np.stack([self._preprocess.fit(image) for image in images]))
        for engine in self._engines:
            x = engine.run(x)
        classes: NDArray[np.int64] = x.argmax(1)
        return classes
