"""Pictures as cameras make them: large, and smooth enough that two ways of decoding them nearly agree."""

from io import BytesIO

import numpy as np
from PIL import Image

__all__ = ["as_jpeg", "photo"]

_ORIENTATION_TAG = 0x0112


def photo(width: int, height: int, *, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Clouds of colour, nowhere the same."""
    shape = (6, 8) if mode == "L" else (6, 8, len(mode))
    coarse = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return Image.fromarray(coarse, mode=None).convert(mode).resize((width, height), Image.Resampling.BICUBIC)


def as_jpeg(image: Image.Image, *, orientation: int | None = None) -> bytes:
    file, exif = BytesIO(), Image.Exif()
    if orientation is not None:
        exif[_ORIENTATION_TAG] = orientation
    image.save(file, "JPEG", quality=92, exif=exif)
    return file.getvalue()
