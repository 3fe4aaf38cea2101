import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.networks import generator
from trainer.data.augment import Augmentation, crop_and_flip, cut_out


def coordinates(n: int, height: int, width: int) -> torch.Tensor:
    """uint8 (n, height, width, 3) whose pixels say where they are: row + 1, column + 1, image + 1."""
    images = torch.zeros((n, height, width, 3), dtype=torch.uint8)
    images[..., 0] = torch.arange(1, height + 1).to(torch.uint8)[None, :, None]
    images[..., 1] = torch.arange(1, width + 1).to(torch.uint8)[None, None, :]
    images[..., 2] = torch.arange(1, n + 1).to(torch.uint8)[:, None, None]
    return images


def moved(image: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """One image (H, W, 3) moved pixel by pixel, zeros where nothing came from."""
    height, width, _ = image.shape
    out = torch.zeros_like(image)
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                out[y, x] = image[y - down, x - right]
    return out


def explanations(image: torch.Tensor, result: torch.Tensor, padding: int) -> set[tuple[int, int, bool]]:
    """Every (down, right, mirrored) that makes `result` of `image`."""
    moves = range(-padding, padding + 1)
    found = set()
    for down in moves:
        for right in moves:
            plain = moved(image, down, right)
            found |= {
                (down, right, m) for m in (False, True) if torch.equal(plain.flip(1) if m else plain, result)
            }
    return found


@settings(max_examples=25)
@given(
    n=st.integers(1, 4),
    height=st.integers(3, 6),
    width=st.integers(3, 6),
    padding=st.integers(0, 2),
    flip=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_every_result_is_a_move_of_its_own_image(
    n: int, height: int, width: int, padding: int, flip: bool, seed: int
) -> None:
    images = coordinates(n, height, width)
    before = images.clone()
    out = crop_and_flip(images, padding=padding, flip=flip, generator=generator(seed))
    assert (out.shape, out.dtype) == (images.shape, torch.uint8)
    assert torch.equal(images, before)
    for image, result in zip(images, out, strict=True):
        found = explanations(image, result, padding)
        assert found
        assert flip or any(not mirrored for _, _, mirrored in found)


def test_every_move_and_both_directions_occur() -> None:
    images = coordinates(250, 5, 5)
    out = crop_and_flip(images, padding=1, flip=True, generator=generator())
    found = [explanations(image, result, 1) for image, result in zip(images, out, strict=True)]
    assert all(len(one) == 1 for one in found)
    assert len(set().union(*found)) == 9 * 2


def test_digits_are_never_mirrored() -> None:
    images = coordinates(100, 6, 6)
    out = crop_and_flip(images, padding=0, flip=False, generator=generator())
    assert torch.equal(out, images)


def test_the_generator_decides_everything() -> None:
    images = torch.randint(0, 256, (16, 32, 32, 3), dtype=torch.uint8, generator=generator(9))
    first, again, other = (
        crop_and_flip(images, padding=4, flip=True, generator=generator(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_successive_batches_differ() -> None:
    images = coordinates(16, 8, 8)
    one = generator()
    first, second = (crop_and_flip(images, padding=2, flip=True, generator=one) for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [0, 2])
def test_strided_images_are_read_right(flip: bool, padding: int) -> None:
    """A slice of a larger tensor, in another memory order, gives what its copy gives."""
    whole = torch.randint(0, 256, (8, 3, 9, 7), dtype=torch.uint8, generator=generator(3))
    view = whole.permute(0, 2, 3, 1)[2:6, 1:, ::2]
    assert not view.is_contiguous()
    results = [
        crop_and_flip(images, padding=padding, flip=flip, generator=generator(4))
        for images in (view, view.contiguous())
    ]
    assert torch.equal(*results)


@settings(max_examples=25)
@given(height=st.integers(3, 9), width=st.integers(3, 9), size=st.integers(1, 12), seed=st.integers(0, 1000))
def test_one_square_around_a_pixel_is_cut_out(height: int, width: int, size: int, seed: int) -> None:
    images = coordinates(3, height, width)
    out = cut_out(images, size=size, generator=generator(seed))
    assert (out.shape, out.dtype) == (images.shape, torch.uint8)
    for image, result in zip(images, out, strict=True):
        blot = (result == 0).all(-1)
        assert torch.equal(result[~blot], image[~blot])
        assert any(torch.equal(blot, square) for square in squares(height, width, size))


def squares(height: int, width: int, size: int) -> list[torch.Tensor]:
    """Every blot that a center within the image can make."""
    found = []
    for top in range(-(size // 2), height - size // 2):
        for left in range(-(size // 2), width - size // 2):
            blot = torch.zeros((height, width), dtype=torch.bool)
            blot[max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = True
            found.append(blot)
    return found


def test_squares_are_everywhere() -> None:
    out = cut_out(torch.ones((500, 8, 8, 3), dtype=torch.uint8), size=3, generator=generator())
    cut = (out == 0).all(-1).float().mean(0)
    assert cut.min() > 0.03
    assert cut[1:-1, 1:-1].max() < 0.25


def test_an_augmentation_is_its_parts_in_turn() -> None:
    images = coordinates(8, 8, 8)
    moved = crop_and_flip(images, padding=2, flip=True, generator=(one := generator(5)))
    cut = cut_out(moved, size=3, generator=one)
    assert torch.equal(Augmentation(2, flip=True)(images, generator(5)), moved)
    assert torch.equal(Augmentation(2, flip=True, cutout=3)(images, generator(5)), cut)
