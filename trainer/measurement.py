"""What a bundle does with a data set's test images: accuracy, and the bytes that cross.

Each image goes alone through the graphs that serve it, and its symbols through the frames that carry them:

    image -> head -> encode -> payload -> decode -> body -> encode -> payload -> decode -> tail -> label
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from splitwire.bundle import Bundle
from splitwire.frame import decode, encode
from splitwire.plan import BoundarySpec
from trainer.data.dataset import Split

__all__ = ["Crossing", "Measurement", "Sizes", "measure"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes an image."""

    mean: float
    p95: float

    @classmethod
    def of(cls, sizes: Sequence[int] | NDArray[np.int64]) -> "Sizes":
        return cls(float(np.mean(sizes)), float(np.percentile(sizes, 95)))


@dataclass(frozen=True, slots=True)
class Crossing:
    """One boundary's payloads. bits_per_element, ratio (float32's bytes by these): of the mean."""

    bytes: Sizes
    bits_per_element: float
    ratio: float

    @classmethod
    def of(cls, boundary: BoundarySpec, sizes: NDArray[np.int64]) -> "Crossing":
        summary = Sizes.of(sizes)
        return cls(summary, 8 * summary.mean / boundary.elements, boundary.raw_bytes / summary.mean)


@dataclass(frozen=True, slots=True)
class Measurement:
    """accuracy: a fraction. both: the sum of an image's two payloads."""

    images: int
    accuracy: float
    uplink: Crossing
    downlink: Crossing
    both: Sizes


def measure(bundle: Bundle, split: Split, *, progress: bool) -> Measurement:
    """Classifies every image of `split`, whose size is the bundle's, one after the other.

    Raises:
        GraphError: a graph cannot be loaded, or does not fit the manifest or the images.
    """
    server = _Server(bundle)
    shown = tqdm(split.images, bundle.manifest.name, unit="image", disable=not progress, leave=False)
    answers = np.array([server.answer(image) for image in shown], np.int64)
    labels, uplink, downlink = answers.T
    return Measurement(
        images=len(split),
        accuracy=float((labels == split.targets).mean()),
        uplink=Crossing.of(bundle.manifest.uplink, uplink),
        downlink=Crossing.of(bundle.manifest.downlink, downlink),
        both=Sizes.of(uplink + downlink),
    )


class _Server:
    """Edge and cloud in one process, with the payloads between them."""

    def __init__(self, bundle: Bundle) -> None:
        self._preprocess = bundle.manifest.preprocess
        self._boundaries = (bundle.manifest.uplink, bundle.manifest.downlink)
        self._head, *self._rest = (bundle.engine(role) for role in bundle.manifest.roles)

    def answer(self, image: NDArray[np.uint8]) -> tuple[int, int, int]:
        """uint8 (size, size, 3) -> index of the label, bytes of the uplink's payload, of the downlink's."""
        x = self._head.run(self._preprocess.normalize(image[None]))
        sizes = []
        for boundary, engine in zip(self._boundaries, (*self._rest, None), strict=False):
            frame = encode(x, boundary)
            sizes.append(len(frame.payload))
            x = decode(frame, boundary)
            x = x if engine is None else engine.run(x)
        uplink, downlink = sizes
        return int(x.argmax()), uplink, downlink
