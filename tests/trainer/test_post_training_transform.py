import pytest
import torch

from trainer.post_training.sensitivity import Sensitivity
from trainer.post_training.transform import fit_transform


def activations(channels: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(channels, channels, generator=generator)
    return torch.einsum("ij,njhw->nihw", mixing, torch.randn(50, channels, 4, 8, generator=generator)) + 3.0


def sensitivity(channels: int = 6) -> Sensitivity:
    generator = torch.Generator().manual_seed(1)
    root = torch.randn(channels, channels, dtype=torch.float64, generator=generator)
    positions = torch.rand(4, 8, dtype=torch.float64, generator=generator) + 0.5
    return Sensitivity(root @ root.T, positions / positions.mean())


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_all_components_give_the_activation_back(stride: int) -> None:
    x = activations()
    transform = fit_transform(x, sensitivity(), stride)
    y = transform.forward(x)
    assert y.shape == (50, 6 * stride**2, 4 // stride, 8 // stride)
    torch.testing.assert_close(transform.inverse(y), x, atol=1e-2, rtol=1e-3)


def test_components_are_uncorrelated_and_the_first_vary_most() -> None:
    x = activations()
    y = fit_transform(x, sensitivity(), 2).forward(x).movedim(1, -1).flatten(0, 2).double()
    covariance = y.T @ y / len(y)
    variances = covariance.diagonal()
    assert (variances.diff() <= 1e-3 * variances[0]).all()
    assert (covariance - torch.diag(variances)).abs().max() < 1e-3 * variances[0]


def test_an_error_costs_what_the_sensitivity_says() -> None:
    """Of one output, 1 in size: half the quadratic form of what it does to the activation."""
    x, of = activations(), sensitivity()
    flat = Sensitivity(of.channels, torch.ones(4, 8, dtype=torch.float64))
    transform = fit_transform(x, flat, 2)
    y = transform.forward(x)
    changed = y.clone()
    changed[:, 3, 1, 2] += 1.0
    error = (transform.inverse(changed) - transform.inverse(y)).double()[0]
    cost = torch.einsum("chw,cd,dhw->", error, of.channels, error)
    assert float(cost) == pytest.approx(1.0, rel=1e-2)


def test_some_components() -> None:
    x = activations()
    transform = fit_transform(x, sensitivity(), 1)
    some = transform.only(torch.tensor([0, 2]))
    torch.testing.assert_close(some.forward(x), transform.forward(x)[:, [0, 2]])
    assert some.inverse(some.forward(x)).shape == x.shape
