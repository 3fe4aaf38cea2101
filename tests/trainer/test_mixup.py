import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.networks import generator
from trainer.data.mixup import blended, mixed


def batch(n: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose every pixel is 10 ** their number, so that a blend says what it is of."""
    numbers = torch.arange(n)
    return (10.0**numbers).view(n, 1, 1, 1).expand(n, 3, 4, 4).clone(), numbers % classes


@settings(max_examples=40)
@given(n=st.integers(1, 6), classes=st.integers(2, 4), alpha=st.floats(0.1, 4.0), seed=st.integers(0, 1000))
def test_labels_are_blended_as_images_are(n: int, classes: int, alpha: float, seed: int) -> None:
    images, targets = batch(n, classes)
    before = images.clone()
    out, shares = mixed(images, targets, classes=classes, alpha=alpha, generator=generator(seed))
    assert torch.equal(images, before)
    assert (out.shape, out.dtype, shares.shape, shares.dtype) == (
        images.shape,
        torch.float32,
        (n, classes),
        torch.float32,
    )
    torch.testing.assert_close(shares.sum(1), torch.ones(n))
    for i in range(n):
        assert any(explains(out[i], shares[i], i, j, targets, classes) for j in range(n))


def explains(
    image: torch.Tensor, shares: torch.Tensor, i: int, j: int, targets: torch.Tensor, classes: int
) -> bool:
    """Whether `image` is at least half of image i, the rest of image j, and `shares` says so."""
    if i == j:
        return bool((image == 10.0**i).all()) and float(shares[targets[i]]) == 1.0
    part = (float(image[0, 0, 0]) - 10.0**j) / (10.0**i - 10.0**j)
    expected = torch.zeros(classes)
    expected[targets[i]] += part
    expected[targets[j]] += 1 - part
    return 0.499 <= part <= 1.001 and bool((shares - expected).abs().max() < 1e-3)


def test_images_alone_are_blended_alike() -> None:
    images, targets = batch(6, 3)
    expected, _ = mixed(images, targets, classes=3, alpha=0.7, generator=generator(4))
    assert torch.equal(blended(images, alpha=0.7, generator=generator(4)), expected)


def test_every_part_from_a_half_to_all_occurs() -> None:
    images, targets = torch.ones(2000, 1), torch.arange(2000) % 2
    _, shares = mixed(images, targets, classes=2, alpha=1.0, generator=generator())
    larger = shares.amax(1)
    blended = larger[larger < 1]
    assert blended.min() < 0.51
    assert blended.max() > 0.99
    assert 0.7 < blended.mean() < 0.8  # uniform: 0.75


def test_the_generator_decides_everything() -> None:
    images, targets = torch.randn(8, 3, 5, 5), torch.arange(8)
    first, again, other = (
        mixed(images, targets, classes=8, alpha=0.5, generator=generator(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_the_memory_layout_stays() -> None:
    images = torch.randn(4, 3, 5, 5).contiguous(memory_format=torch.channels_last)
    out, _ = mixed(images, torch.arange(4), classes=4, alpha=1.0, generator=generator())
    assert out.is_contiguous(memory_format=torch.channels_last)
