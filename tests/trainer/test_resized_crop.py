import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.trainer.networks import generator
from trainer.data.augment import Augmentation
from trainer.data.resized_crop import resized_crop


def ramps(n: int, side: int = 64) -> Tensor:
    """uint8 (n, side, side, 3): column, row, and which image; so a pixel says where it came from."""
    images = torch.zeros((n, side, side, 3), dtype=torch.uint8)
    images[..., 0] = 3 * torch.arange(side)[None, None, :]
    images[..., 1] = 3 * torch.arange(side)[None, :, None]
    images[..., 2] = torch.arange(n)[:, None, None]
    return images


def extents(results: Tensor) -> Tensor:
    """(n, 2): the share of width and of height that each result shows of `ramps`; negative is mirrored."""
    across, down = results[..., 0].float().mean(1), results[..., 1].float().mean(2)
    slopes = torch.stack([across[:, 40] - across[:, 24], down[:, 40] - down[:, 24]], dim=1)
    return slopes / (3 * 16)


@settings(max_examples=30)
@given(n=st.integers(1, 5), least=st.floats(0.05, 1.0), flip=st.booleans(), seed=st.integers(0, 1000))
def test_a_result_shows_one_part_of_its_own_image(n: int, least: float, flip: bool, seed: int) -> None:
    images = ramps(n)
    before = images.clone()
    out = resized_crop(images, crop_area=least, flip=flip, generator=generator(seed))
    assert (out.shape, out.dtype) == (images.shape, torch.uint8)
    assert out.is_contiguous()
    assert torch.equal(images, before)
    assert torch.equal(out[..., 2], images[..., 2])
    shares = extents(out)
    assert bool((shares[:, 1] > 0).all())
    assert flip or bool((shares[:, 0] > 0).all())
    assert bool((shares.abs() <= 1.03).all())
    assert bool((shares.abs().prod(1) >= 0.7 * least).all())  # less only where it would reach over the rim


def test_parts_of_every_size_shape_and_place_occur() -> None:
    out = resized_crop(ramps(250), crop_area=0.25, flip=True, generator=generator())
    shares = extents(out)
    areas, aspects = shares.abs().prod(1), shares[:, 0].abs() / shares[:, 1]
    assert 0.2 < areas.min() < 0.32
    assert areas.max() > 0.9
    assert aspects.min() < 0.85
    assert aspects.max() > 1.15
    assert 0.35 < (shares[:, 0] < 0).float().mean() < 0.65
    tops, bottoms = out[:, 0, :, 1].float().mean(1), out[:, -1, :, 1].float().mean(1)
    assert tops.min() < 6
    assert bottoms.max() > 180
    assert tops.max() > 60


@pytest.mark.parametrize("side", [31, 32])
def test_the_whole_is_the_image_itself_and_not_half_a_pixel_beside_it(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.data.resized_crop._MOST_STRETCHED", 1.0)
    images = torch.randint(0, 256, (3, side, side, 3), dtype=torch.uint8, generator=generator(5))
    assert torch.equal(resized_crop(images, crop_area=1.0, flip=False, generator=generator()), images)


def test_the_generator_decides_everything() -> None:
    images = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8, generator=generator(9))
    first, again, other = (
        resized_crop(images, crop_area=0.3, flip=True, generator=generator(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("crop_area", [0.5, 1.0])
def test_an_augmentation_crops_where_it_may(crop_area: float) -> None:
    augment = Augmentation(padding=0, flip=False, crop_area=crop_area)
    assert torch.equal(augment(ramps(4), generator()), ramps(4)) == (crop_area == 1.0)
