"""Image bytes -> network input. The only copy: training, evaluation and serving all call it.

bytes -> decode_image -> uint8 (h, w, 3) -> fit -> uint8 (size, size, 3)
      -> normalize -> float32 (1, 3, size, size)
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    WebPImagePlugin,  # noqa: F401  # its import is what loads WebP
)

from splitwire.errors import ConfigError, ImageTooLarge, UndecodableImage, UnsupportedImage
from splitwire.headers import MAX_EXIF, check_headers
from splitwire.jpeg import check_scans
from splitwire.room import Room

__all__ = ["MAX_PIXELS", "MAX_SIDE", "Preprocess", "decode_image"]

#: More than most phones' cameras make. Decoding takes 4 bytes a pixel of most files, 8 to 12 of those that
#: are transparent, turned, or no RGB, and 16 of a transparent WebP: 200 to 800 MB.
MAX_PIXELS = 50_000_000

#: Of all images that are decoded at a time: however many threads there are, one large one is all they hold.
_ROOM = Room(MAX_PIXELS)

#: JPEG's own limit. A PNG may claim 2**31 rows of one pixel, and each row costs memory of its own.
MAX_SIDE = 65_535

#: Pillow would otherwise try some forty formats, among them interpreters for PostScript and PDF.
_FORMATS = ("JPEG", "PNG", "WEBP")

# JPEG and PNG. Otherwise the first image would wait for them, and without WebP the first that is neither for
# all that Pillow has: 60 ms.
Image.preinit()

#: How files of those formats begin; WebP's fourth to seventh bytes are its length.
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")

#: A manifest beyond this is a mistake, and would have `fit` allocate without end.
_MAX_INPUT = 4096

_ORIENTATION_TAG = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How an image becomes the network's input.

    size: side of the square input, in pixels. resize: what the image's shorter side is scaled to
    before the central square of `size` is cut, at least `size`. mean, std: per channel (R, G, B),
    on pixel values scaled to 0..1.

    Raises:
        ConfigError: a field is out of range.
    """

    size: int
    resize: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 1 <= self.size <= _MAX_INPUT:
            raise ConfigError(f"the input's size must be 1 to {_MAX_INPUT} pixels, got {self.size!r}")
        if type(self.resize) is not int or not self.size <= self.resize <= _MAX_INPUT:
            raise ConfigError(f"resize must be {self.size} to {_MAX_INPUT} pixels, got {self.resize!r}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if not _three_finite(values):
                raise ConfigError(f"{name} must be a tuple of 3 finite numbers, got {values!r}")
        if min(self.std) <= 0:
            raise ConfigError(f"std must be above 0, got {self.std!r}")

    def __call__(self, image: bytes) -> NDArray[np.float32]:
        """An image file's bytes -> float32 (1, 3, size, size).

        Raises:
            ImageError: as `decode_image`.
        """
        with _decoded(image, MAX_PIXELS) as rgb:
            fitted = np.asarray(self._fit(rgb))
        return self.normalize(fitted[None])

    def fit(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 (h, w, 3) -> uint8 (size, size, 3): the central square, scaled with antialiasing.

        Its corner is a whole pixel, so that one that needs no scaling keeps its pixels.
        An image that is already size x size passes untouched where `resize` is `size`.
        """
        return np.array(self._fit(Image.fromarray(rgb)))

    def square(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what `fit` cuts from an image of that size, before it scales."""
        # Scaling only what the crop keeps: an image of 50,000,000 x 1 pixels scaled whole would be
        # 256 times its own size.
        side = min(width, height) * self.size / self.resize
        # On whole pixels: half a pixel beside them, an image that needs no scaling would come out blurred.
        left, top = round((width - side) / 2), round((height - side) / 2)
        return left, top, left + side, top + side

    def scaled(self, image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
        """What lies in `box`, as size x size pixels, with antialiasing."""
        return image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)

    def normalize(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (n, H, W, 3) -> float32 (n, 3, H, W), C-contiguous: (rgb / 255 - mean) / std."""
        mean, std = np.array(self.mean)[:, None, None], np.array(self.std)[:, None, None]
        x = np.ascontiguousarray(rgb.transpose(0, 3, 1, 2)).astype(np.float32)
        x *= (1 / (255 * std)).astype(np.float32)
        x -= (mean / std).astype(np.float32)
        return x

    def to_json(self) -> dict[str, object]:
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, value: object) -> "Preprocess":
        """Raises ConfigError unless `value` is an object with exactly this class's fields."""
        if not isinstance(value, Mapping) or set(value) != {"size", "resize", "mean", "std"}:
            raise ConfigError(f"preprocess must be an object with size, resize, mean, std, got {value!r}")
        if not (isinstance(value["mean"], list) and isinstance(value["std"], list)):
            raise ConfigError("preprocess: mean and std must be lists of 3 numbers")
        return cls(**{**value, "mean": tuple(value["mean"]), "std": tuple(value["std"])})

    def _fit(self, image: Image.Image) -> Image.Image:
        if image.size == (self.size, self.size) and self.resize == self.size:
            return image
        return self.scaled(image, self.square(*image.size))


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """A JPEG, PNG or WebP file's bytes -> uint8 (h, w, 3), RGB, upright, read-only.

    EXIF orientation is applied, an animation gives its first frame, and colour profiles are not
    applied. Transparency is laid on white: cut-out pictures are made for white pages, and
    what fully transparent pixels hold is arbitrary.

    Raises:
        UnsupportedImage: not one of the three formats.
        ImageTooLarge: more than `max_pixels`, a side above MAX_SIDE, too many scans of a progressive JPEG, or
            more before its pixels than any picture needs; no pixel was decoded.
        UndecodableImage: one of the three formats, but broken.
    """
    with _decoded(data, max_pixels) as rgb:
        return np.asarray(rgb)


@contextmanager
def _decoded(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """RGB and upright. Held while its pixels are in memory."""
    check_headers(data)
    image: Image.Image = _identify(data)
    width, height = image.size
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise ImageTooLarge(
            f"the image has {width} x {height} pixels; at most {max_pixels} in all "
            f"and {MAX_SIDE} a side are accepted"
        )
    check_scans(data, width, height)
    kind = image.format
    with _ROOM.take(width * height):
        # Broken files make Pillow's decoders raise nearly anything: OSError, SyntaxError, ValueError,
        # struct.error, zlib.error, KeyError, ...
        try:
            image.load()
            turn = _turn(image)
            image = _rgb(image)  # what it was decoded to is freed before it is turned
            image = image if turn is None else image.transpose(turn)
        except Exception as e:
            raise UndecodableImage(f"the {kind} image cannot be decoded: {e}") from e
        yield image


def _identify(data: bytes) -> Image.Image:
    """Reads the header only."""
    try:
        return Image.open(BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
        raise ImageTooLarge(f"the image has too many pixels: {e}") from e
    except Exception as e:
        if data.startswith(_SIGNATURES):
            raise UndecodableImage("the image's header cannot be read") from e
        raise UnsupportedImage("not a JPEG, PNG or WebP image") from e


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _grey16(image)
    if not image.has_transparency_data:
        # CMYK included: Pillow has undone Adobe's inversion already.
        return image if image.mode == "RGB" else image.convert("RGB")
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(rgba, mask=rgba)
    return canvas


def _grey16(image: Image.Image) -> Image.Image:
    """Pillow's own conversion clips 16 bits to 8 where it should scale."""
    values = np.asarray(image)
    scaled = ((np.arange(65_536) + 128) // 257).astype(np.uint8)
    grey = scaled[values]
    transparent = image.info.get("transparency")
    if transparent is not None:
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What turns it upright. Metadata of such a size is no camera's, and would take seconds to read."""
    if len(image.info.get("exif", b"")) > MAX_EXIF:
        return None
    try:
        return _TRANSPOSE.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # broken metadata does not make a picture unreadable
        return None


def _three_finite(values: object) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == 3
        # Compared, not converted: JSON has integers beyond any float. False for NaN.
        and all(type(v) in (int, float) and abs(v) <= sys.float_info.max for v in values)
    )
