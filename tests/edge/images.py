"""Image files for tests, made by Pillow."""

from io import BytesIO

import numpy as np
from PIL import Image

__all__ = ["FORMATS", "image_file"]

#: Pillow's name of each accepted format, and its media type.
FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


def image_file(file_format: str = "JPEG", *, seed: int = 0, size: tuple[int, int] = (24, 20)) -> bytes:
    """A file of random smooth colours; another seed is another picture."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    out = BytesIO()
    coarse.resize(size, Image.Resampling.BICUBIC).save(out, file_format)
    return out.getvalue()
