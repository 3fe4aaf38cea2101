import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.trainer.networks import same_bits
from trainer.boundary import Boundary
from trainer.config import BoundaryOptions
from trainer.gradient import GradientQuantizer


def random_gradient(seed: int, *, rows: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    sizes = 10.0 ** torch.empty(rows, 1, 1, 1).uniform_(-6, 3, generator=generator)
    return sizes * torch.randn((rows, 2, 3, 3), generator=generator)


def everywhere(gradient: Tensor) -> Tensor:
    return torch.ones_like(gradient, dtype=torch.bool)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_right_on_average(bits: int) -> None:
    """Of 4,000 draws: within six standard deviations of their mean, everywhere."""
    gradient, draws = random_gradient(0), 4000
    quantizer = GradientQuantizer(bits)
    quantizer.seed(1)
    step = gradient.abs().amax((1, 2, 3), keepdim=True) / quantizer.levels
    keeps = everywhere(gradient)
    mean = torch.stack([quantizer.quantize(gradient, keeps) for _ in range(draws)]).double().mean(0)
    fraction = (gradient / step) - (gradient / step).floor()
    deviation = (fraction * (1 - fraction) / draws).sqrt()
    assert bool((((mean - gradient) / step).abs() <= 6 * deviation + 1e-5).all())


@given(st.integers(0, 10_000), st.integers(2, 8))
def test_next_to_the_gradient_on_a_grid_of_the_samples_own(seed: int, bits: int) -> None:
    gradient = random_gradient(seed)
    quantizer = GradientQuantizer(bits)
    quantizer.seed(seed)
    found = quantizer.quantize(gradient, everywhere(gradient))
    step = gradient.abs().amax((1, 2, 3), keepdim=True) / (2 ** (bits - 1) - 1)
    levels = found / step
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    assert bool(((found - gradient).abs() <= step * (1 + 1e-4)).all())
    for sample in levels:
        assert len(sample.round().unique()) <= 2**bits - 1


@given(st.integers(0, 10_000))
def test_what_was_pruned_carries_nothing_and_does_not_widen_the_grid(seed: int) -> None:
    gradient = random_gradient(seed)
    keeps = gradient < 0
    quantizer = GradientQuantizer(3)
    quantizer.seed(seed)
    found = quantizer.quantize(gradient, keeps)
    assert bool((found[~keeps] == 0).all())
    quantizer.seed(seed)
    assert same_bits(quantizer.quantize(torch.where(keeps, gradient, 1e9), keeps), found)


def test_no_gradient_stays_none() -> None:
    nothing = torch.zeros(2, 3)
    assert same_bits(GradientQuantizer(2).quantize(nothing, everywhere(nothing)), nothing)


def test_draws_are_the_seeds_and_not_torchs() -> None:
    gradient = random_gradient(3)
    found = []
    for seed, other in ((5, 0), (5, 1), (6, 0)):
        torch.manual_seed(other)
        quantizer = GradientQuantizer(2)
        quantizer.seed(seed)
        found.append([quantizer.quantize(gradient, everywhere(gradient)) for _ in range(2)])
    one, same, different = found
    assert all(map(same_bits, one, same))
    assert not same_bits(one[0], one[1]), "another micro-batch draws anew"
    assert not same_bits(one[0], different[0])


def backward(options: BoundaryOptions, x: Tensor, gradient: Tensor) -> Tensor:
    boundary = Boundary(tuple(x.shape[1:]), options, signed=True)
    assert boundary.gradient is not None
    boundary.gradient.seed(2)
    x = x.clone().requires_grad_()
    boundary(x).backward(gradient)
    assert x.grad is not None
    return x.grad


def test_crosses_an_otherwise_transparent_boundary_compressed() -> None:
    x, gradient = random_gradient(4), random_gradient(5)
    boundary = Boundary((2, 3, 3), BoundaryOptions(gradient_bits=2), signed=True)
    assert same_bits(boundary(x), x)
    found = backward(BoundaryOptions(gradient_bits=2), x, gradient)
    largest = gradient.abs().amax((1, 2, 3), keepdim=True)
    assert set((found / largest).unique().tolist()) <= {-1.0, 0.0, 1.0}


def test_crosses_with_the_mask_of_the_forward_pass() -> None:
    x = torch.tensor([[-9.0, 9.0, 1.2, 0.3, -0.2, 0.1]])
    options = BoundaryOptions(keep=0.5, bits=2, gradient_bits=2)
    found = backward(options, x, torch.tensor([[3.0, -3.0, 3.0, 100.0, 100.0, 100.0]]))
    # Pruned: 100 sets no scale. Clipped: crosses, and ends there.
    assert found.tolist() == [[0.0, 0.0, 3.0, 0.0, 0.0, 0.0]]
