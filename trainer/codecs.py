"""What a user could send instead of symbols: the image, as a file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitwire.preprocess import decode_image
from trainer.envelope import bare_size

__all__ = ["PNG", "WEBP_LOSSLESS", "Codec", "File", "jpeg", "webp"]


class File(NamedTuple):
    """size: its bytes. bare: those of them that depend on the image, trainer/envelope.py. rgb: the image as
    the other side sees it, uint8 (h, w, 3)."""

    size: int
    bare: int
    rgb: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Codec:
    """kind: the format, lossy and lossless being two. quality: None where nothing is lost.
    format, options: Pillow's."""

    kind: str
    format: str
    quality: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.kind if self.quality is None else f"{self.kind} q{self.quality}"

    def encode(self, rgb: NDArray[np.uint8]) -> bytes:
        """uint8 (h, w, 3) -> an image file's bytes."""
        return self._encode(rgb, self.options)

    def round_trip(self, rgb: NDArray[np.uint8]) -> File:
        """The file of uint8 (h, w, 3), and what becomes of the image in it."""
        data = self.encode(rgb)
        return File(len(data), self._bare(rgb, data), decode_image(data))

    def _bare(self, rgb: NDArray[np.uint8], data: bytes) -> int:
        if self.format != "JPEG":
            return bare_size(data)
        # Tables made for the image pay once it is large. The standard's, which need not be sent, give the
        # same pixels.
        standard = self._encode(rgb, {**self.options, "optimize": False})
        return min(bare_size(data), bare_size(standard, own_tables=False))

    def _encode(self, rgb: NDArray[np.uint8], options: Mapping[str, object]) -> bytes:
        file = BytesIO()
        Image.fromarray(rgb).save(file, self.format, **options)
        return file.getvalue()


# Each at its smallest: what the formats can do, not what their defaults happen to do. (Lossless WebP is
# larger at method 6 than at its default on images this small.)

PNG = Codec("PNG", "PNG", options=MappingProxyType({"optimize": True}))

WEBP_LOSSLESS = Codec("WebP lossless", "WEBP", options=MappingProxyType({"lossless": True, "quality": 100}))


def jpeg(quality: int) -> Codec:
    return Codec("JPEG", "JPEG", quality, MappingProxyType({"quality": quality, "optimize": True}))


def webp(quality: int) -> Codec:
    """Lossy."""
    return Codec("WebP", "WEBP", quality, MappingProxyType({"quality": quality, "method": 6}))
