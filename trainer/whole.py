"""A bundle's network in one process: head, body and tail one after the other, nothing in between."""

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from splitwire.bundle import Bundle

__all__ = ["WholeNetwork"]

_BATCH = 64


class WholeNetwork:
    """The bundle's graphs without a wire. The boundaries' pruning and quantization are part of the graphs:
    the network without them is another one, trained without them.

    Raises:
        GraphError: a graph cannot be loaded, or does not fit the manifest.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._preprocess = bundle.manifest.preprocess
        self._engines = [bundle.engine(role) for role in bundle.manifest.roles]

    def classify(self, images: Iterable[NDArray[np.uint8]]) -> NDArray[np.int64]:
        """uint8 (size, size, 3) each, as a Dataset holds them -> int64 (n,), indices into the labels."""
        rest = iter(images)
        batches = iter(lambda: list(islice(rest, _BATCH)), [])
        return np.concatenate([self._classify_batch(batch) for batch in batches])

    def _classify_batch(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.int64]:
        # Not fitted to the network's input once more: that would crop photographs a second time.
        x = self._preprocess.normalize(np.stack(images))
        for engine in self._engines:
            x = engine.run(x)
        classes: NDArray[np.int64] = x.argmax(1)
        return classes
