"""Large JPEG photos, decoded at a fraction of their size.

A JPEG's blocks of 8x8 pixels can be decoded as 4x4, 2x2 or 1, by leaving out frequencies: libjpeg calls it
scaling, Pillow a draft. A photo of many megapixels that becomes 224x224 takes a fraction of the time.
"""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from splitwire.preprocess import MAX_PIXELS, MAX_SIDE, Preprocess

__all__ = ["MARGIN", "fit_draft"]

#: A draft is at least so many times larger than what is made of it. At 1, pixels differ two to three times
#: as much.
MARGIN = 2


def fit_draft(data: bytes, preprocess: Preprocess, *, margin: int = MARGIN) -> NDArray[np.uint8] | None:
    """A file's bytes -> uint8 (size, size, 3) as `preprocess.fit(decode_image(data))`, or nearly so.

    None where no draft helps: no JPEG, one that is not large, or anything that `decode_image` may refuse. The
    draft's shorter side is never below `margin` times `preprocess.resize`, and the same square is cut. Pixels
    differ by less than 1 of 255 in the mean, and by up to some 20 at edges (benchmarks/decoding): so training
    may use it, but what is measured or served must not.
    """
    try:
        image = Image.open(BytesIO(data), formats=("JPEG",))
        if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
            return None
        return _fit(image, preprocess, margin)
    except Exception:  # `decode_image` will say what is wrong
        return None


def _fit(image: Image.Image, preprocess: Preprocess, margin: int) -> NDArray[np.uint8] | None:
    least, width = margin * preprocess.resize, image.width
    # Found before the draft: whole pixels of the draft would be several of the image.
    left, top, right, bottom = preprocess.square(*image.size)
    draft = image.draft(None, (least, least))
    if draft is None or draft[1][2] == width:
        return None
    shrink = draft[1][2] / width
    box = shrink * left, shrink * top, shrink * right, shrink * bottom
    return np.asarray(ImageOps.exif_transpose(preprocess.scaled(image.convert("RGB"), box)))
