import struct
import subprocess
import sys
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from splitwire.errors import ConfigError, ImageError, ImageTooLarge, UndecodableImage, UnsupportedImage
from splitwire.preprocess import MAX_PIXELS, MAX_SIDE, Preprocess, decode_image
from tests.kernel.refusal import result_or_refusal

CIFAR = Preprocess(32, 32, (0.49, 0.48, 0.45), (0.25, 0.24, 0.26))
IMAGENET = Preprocess(224, 256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def picture(height: int = 20, width: int = 30) -> NDArray[np.uint8]:
    """Smooth, so that lossy formats keep it, and with no symmetry."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, 90 + 60 * x * y / (width * height)], -1).astype(
        np.uint8
    )


def encoded(image: Image.Image | NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    return stream.getvalue()


def png(
    width: int, height: int, *, depth: int = 8, colour: int = 0, data: bytes = b"", extra: bytes = b""
) -> bytes:
    """A PNG that says anything."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# What is accepted


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 12),
        ("JPEG", {"quality": 95, "subsampling": 0}, 4),
        ("JPEG", {"quality": 95, "progressive": True}, 12),
    ],
)
def test_formats(kind: str, options: dict[str, Any], tolerance: int) -> None:
    decoded = decode_image(encoded(picture(), kind, **options))
    assert decoded.dtype == np.uint8
    assert decoded.shape == (20, 30, 3)
    assert np.abs(decoded.astype(int) - picture()).max() <= tolerance


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I"])
def test_every_mode_of_png_becomes_rgb(mode: str) -> None:
    image = Image.new("RGB", (4, 3), (255, 255, 255)).convert(mode if mode[0] != "I" else "L")
    if mode[0] == "I":
        image = Image.fromarray(np.full((3, 4), 65535, np.uint16))
    if mode == "PA":
        image = Image.new("RGBA", (4, 3), "white")
    decoded = decode_image(encoded(image))
    assert decoded.shape == (3, 4, 3)
    assert (decoded == 255).all()


def test_grey_repeats_in_every_channel() -> None:
    grey = picture()[..., 0]
    assert (decode_image(encoded(grey)) == grey[..., None]).all()


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    assert decode_image(encoded(values))[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_sixteen_bit_grey_with_a_transparent_value() -> None:
    data = b"\0" + struct.pack(">HHH", 1000, 40000, 1001)
    image = png(3, 1, depth=16, data=data, extra=chunk(b"tRNS", struct.pack(">H", 1000)))
    assert decode_image(image)[0, :, 0].tolist() == [255, 156, 4]


def test_sixteen_bit_colour() -> None:
    data = b"\0" + struct.pack(">HHH", 65535, 32768, 0)
    assert decode_image(png(1, 1, depth=16, colour=2, data=data)).tolist() == [[[255, 128, 0]]]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_is_laid_on_white(kind: str) -> None:
    rgba = np.array([[[200, 100, 0, 255], [0, 0, 0, 0], [200, 100, 0, 128]]], np.uint8)
    decoded = decode_image(encoded(rgba, kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert decoded[0, :2].tolist() == [[200, 100, 0], [255, 255, 255]]
    assert np.abs(decoded[0, 2].astype(int) - [227, 177, 127]).max() <= 1


def test_transparency_of_a_palette() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert decode_image(encoded(image)).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert decode_image(encoded(image, transparency=1)).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    assert decode_image(encoded(image, transparency=b"\0\xff")).tolist() == [[[255, 255, 255], [40, 50, 60]]]


@pytest.mark.parametrize(("mode", "key", "colour"), [("L", 7, 7), ("RGB", (1, 2, 3), (1, 2, 3))])
def test_transparency_of_one_colour(mode: str, key: Any, colour: Any) -> None:
    image = Image.new(mode, (2, 1), colour)
    image.putpixel((1, 0), 99 if mode == "L" else (9, 99, 9))
    decoded = decode_image(encoded(image, transparency=key))
    assert decoded[0, 0].tolist() == [255, 255, 255]
    assert decoded[0, 1, 1] == 99


def test_cmyk_as_adobe_writes_it() -> None:
    """Inverted on disk, upright when decoded."""
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    data = encoded(cmyk, "JPEG", quality=95)
    assert b"Adobe" in data
    assert np.abs(decode_image(data).astype(int) - [255, 0, 0]).max() <= 4


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations_give_their_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    assert (decode_image(data) == [255, 0, 0]).all()


EXACT: dict[str, dict[str, Any]] = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "JPEG": {"quality": 95, "subsampling": 0},
}

UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = EXACT[kind]
    decoded = decode_image(encoded(picture(), kind, exif=exif, **options))
    expected = UPRIGHT[orientation](picture())
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).max() <= (4 if kind == "JPEG" else 0)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\xff\xff", b"Exif\0\0nonsense", b"\xff" * 40]
)
def test_broken_metadata_does_not_matter(exif: bytes) -> None:
    assert decode_image(encoded(picture(), "JPEG", exif=exif)).shape == (20, 30, 3)


# What is refused


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        encoded(picture(), "GIF"),
        encoded(picture(), "BMP"),
        encoded(picture(), "TIFF"),
        encoded(picture(), "PPM"),
    ],
    ids=lambda data: repr(data[:8]),
)
def test_other_formats(data: bytes) -> None:
    with pytest.raises(UnsupportedImage, match="JPEG, PNG or WebP"):
        decode_image(data)


@pytest.mark.parametrize("data", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8 "])
def test_a_signature_and_nothing_behind_it(data: bytes) -> None:
    with pytest.raises(UndecodableImage):
        decode_image(data)


@pytest.mark.parametrize(("width", "height"), [(7072, 7072), (MAX_PIXELS + 1, 1), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels(width: int, height: int) -> None:
    tracemalloc.start()
    with pytest.raises(ImageTooLarge):
        decode_image(png(width, height, data=bytes(1000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(("width", "height"), [(1, MAX_SIDE + 1), (MAX_SIDE + 1, 1)])
def test_absurd_sides(width: int, height: int) -> None:
    with pytest.raises(ImageTooLarge, match=str(MAX_SIDE)):
        decode_image(png(width, height))


def test_a_limit_of_the_caller() -> None:
    assert decode_image(encoded(picture()), max_pixels=600).shape == (20, 30, 3)
    with pytest.raises(ImageTooLarge, match="30 x 20 pixels; at most 599"):
        decode_image(encoded(picture()), max_pixels=599)


def test_a_compressed_comment_without_end() -> None:
    """Four megabytes of text in four kilobytes, before the first pixel."""
    comment = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(4 << 20)))
    with pytest.raises(UndecodableImage):
        decode_image(png(4, 4, data=bytes(20), extra=comment))


SMALL = {
    "png": encoded(picture(8, 8)),
    "palette": encoded(Image.fromarray(picture(8, 8)).quantize(8)),
    "jpeg": encoded(picture(8, 8), "JPEG"),
    "webp": encoded(picture(8, 8), "WEBP"),
    "lossless": encoded(picture(8, 8), "WEBP", lossless=True),
}


def image_or_one_error(data: bytes) -> ImageError | None:
    decoded, error = result_or_refusal(lambda: decode_image(data, max_pixels=10_000))
    if decoded is None:
        assert isinstance(error, ImageError)
        assert type(error) is not ImageError
        assert str(error)
        return error
    assert decoded.dtype == np.uint8
    assert decoded.ndim == 3
    assert decoded.shape[2] == 3
    return None


@pytest.mark.parametrize("name", SMALL)
def test_truncation_at_every_byte(name: str) -> None:
    refused = [image_or_one_error(SMALL[name][:length]) for length in range(len(SMALL[name]))]
    assert all(refused[: len(refused) * 3 // 4])  # a decoder may do without the last few bytes


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_flips_of_every_byte(name: str, flip: int) -> None:
    for i in range(len(SMALL[name])):
        data = bytearray(SMALL[name])
        data[i] ^= flip
        image_or_one_error(bytes(data))


@settings(max_examples=300)
@given(st.sampled_from(sorted(SMALL)), st.binary(max_size=60), st.integers(0, 60), st.integers(0, 10))
def test_splices(name: str, junk: bytes, at: int, removed: int) -> None:
    data = SMALL[name]
    image_or_one_error(data[:at] + junk + data[at + removed :])


# Preprocess


def test_an_image_of_the_networks_size_is_untouched() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert (CIFAR.fit(rgb) == rgb).all()
    assert (CIFAR(encoded(rgb)) == CIFAR.normalize(rgb[None])).all()


@pytest.mark.parametrize(
    "shape", [(32, 32), (224, 224), (256, 256), (1, 1), (1, 5000), (5000, 1), (37, 911), (900, 640)]
)
@pytest.mark.parametrize("preprocess", [CIFAR, IMAGENET, Preprocess(32, 40, CIFAR.mean, CIFAR.std)])
def test_fit_is_square(shape: tuple[int, int], preprocess: Preprocess) -> None:
    fitted = preprocess.fit(np.full((*shape, 3), (10, 20, 30), np.uint8))
    assert fitted.shape == (preprocess.size, preprocess.size, 3)
    assert fitted.dtype == np.uint8
    assert fitted.flags.writeable
    assert (fitted == [10, 20, 30]).all()


def test_fit_keeps_the_centre() -> None:
    rgb = np.zeros((100, 300, 3), np.uint8)
    rgb[:, 100:200] = 255
    fitted = CIFAR.fit(rgb)
    assert (fitted[:, 1:-1] == 255).all()  # the outermost pixels see a little of what was cut off
    assert fitted.min() > 200
    assert (Preprocess(28, 32, CIFAR.mean, CIFAR.std).fit(rgb) == 255).all()


@pytest.mark.parametrize("shape", [(256, 384), (383, 256), (257, 256), (256, 259)])
def test_an_image_that_needs_no_scaling_keeps_its_pixels(shape: tuple[int, int]) -> None:
    """Whatever its margins: a crop half a pixel aside would blur it, which costs points of accuracy."""
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    top, left = (round((side - 224) / 2) for side in shape)
    assert (IMAGENET.fit(rgb) == rgb[top : top + 224, left : left + 224]).all()


def test_fit_antialiases() -> None:
    """A checkerboard of single pixels becomes grey, not black and white."""
    board = np.where(np.indices((512, 512)).sum(0) % 2, 255, 0).astype(np.uint8)
    fitted = CIFAR.fit(np.repeat(board[..., None], 3, -1))
    assert np.abs(fitted.astype(int) - 127).max() <= 1


def test_calling_is_decode_fit_normalize() -> None:
    data = encoded(picture(300, 400), "JPEG")
    x = IMAGENET(data)
    assert x.shape == (1, 3, 224, 224)
    assert x.dtype == np.float32
    assert (x == IMAGENET.normalize(IMAGENET.fit(decode_image(data))[None])).all()


def test_normalize() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), np.uint8)
    x = CIFAR.normalize(rgb)
    expected = (rgb / 255 - np.array(CIFAR.mean)) / np.array(CIFAR.std)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    np.testing.assert_allclose(x, expected.transpose(0, 3, 1, 2), atol=1e-6)


def test_normalize_of_one_row_is_that_of_many() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), np.uint8)
    assert (np.concatenate([CIFAR.normalize(row[None]) for row in rgb]) == CIFAR.normalize(rgb)).all()


def test_json() -> None:
    assert Preprocess.from_json(IMAGENET.to_json()) == IMAGENET
    assert hash(Preprocess.from_json(CIFAR.to_json())) == hash(CIFAR)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0},
        {"size": 33},
        {"size": 32.0},
        {"size": True},
        {"size": 5000, "resize": 5000},
        {"resize": 10**9},
        {"mean": [0.5, 0.5]},
        {"mean": [0.5, 0.5, float("nan")]},
        {"mean": [0.5, 0.5, 10**400]},
        {"mean": "abc"},
        {"std": [0.5, 0.0, 0.5]},
        {"std": [0.5, "1", 0.5]},
        {"std": None},
        {"extra": 1},
    ],
    ids=str,
)
def test_impossible_preprocessing(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Preprocess.from_json(CIFAR.to_json() | change)


@pytest.mark.parametrize("value", [None, [], {}, "x"])
def test_preprocessing_of_another_form(value: object) -> None:
    with pytest.raises(ConfigError):
        Preprocess.from_json(value)


def test_no_image_waits_for_decoders_to_be_loaded(tmp_path: Path) -> None:
    for name in ("JPEG", "PNG", "WEBP"):
        Image.new("RGB", (8, 8)).save(tmp_path / name, name)
    (tmp_path / "none").write_bytes(b"no image at all")
    code = """
import contextlib, pathlib, sys
from splitwire.errors import UnsupportedImage
from splitwire.preprocess import decode_image
before = set(sys.modules)
for path in pathlib.Path(sys.argv[1]).iterdir():
    with contextlib.suppress(UnsupportedImage):
        decode_image(path.read_bytes())
print(sorted(name for name in set(sys.modules) - before if name.endswith("Plugin")))
"""
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
