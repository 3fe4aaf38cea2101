"""What a user could send instead of symbols: the image, as a file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitwire.preprocess import decode_image

__all__ = ["CODECS", "PNG", "Codec"]


@dataclass(frozen=True, slots=True)
class Codec:
    """format, options: Pillow's."""

    name: str
    format: str
    options: Mapping[str, object] = field(default_factory=dict)

    def encode(self, rgb: NDArray[np.uint8]) -> bytes:
        """uint8 (h, w, 3) -> an image file's bytes."""
        file = BytesIO()
        Image.fromarray(rgb).save(file, self.format, **self.options)
        return file.getvalue()

    def round_trip(self, rgb: NDArray[np.uint8]) -> tuple[int, NDArray[np.uint8]]:
        """Bytes of the file, and the image as the other side sees it: uint8, as `rgb`."""
        data = self.encode(rgb)
        return len(data), decode_image(data)


def _codec(name: str, format: str, **options: object) -> Codec:  # noqa: A002
    return Codec(name, format, MappingProxyType(options))


#: Each at its smallest: what the formats can do, not what their defaults happen to do. (Lossless WebP is
#: larger at method 6 than at its default on images this small.)
PNG = _codec("PNG", "PNG", optimize=True)
CODECS: tuple[Codec, ...] = (
    PNG,
    _codec("WebP lossless", "WEBP", lossless=True, quality=100),
    *(_codec(f"JPEG q{q}", "JPEG", quality=q, optimize=True) for q in (95, 75, 50, 25)),
    *(_codec(f"WebP q{q}", "WEBP", quality=q, method=6) for q in (90, 75, 50, 25)),
)
