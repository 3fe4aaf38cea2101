import pytest
import torch
from torch import Tensor

from trainer.boundary import Boundary
from trainer.config import BoundaryOptions

LEARNED = BoundaryOptions(bits=3, ranges="learned")


def learned(options: BoundaryOptions = LEARNED, *, signed: bool = True) -> Boundary:
    """Of two channels of 2 x 2 whose scales are 0.5 and 2."""
    boundary = Boundary((2, 2, 2), options, signed=signed).train()
    with torch.no_grad():
        boundary.scale.copy_(torch.tensor([0.5, 2.0]))
    return boundary


def random_tensor(seed: int, size: float = 1.0) -> Tensor:
    return size * torch.randn((5, 2, 2, 2), generator=torch.Generator().manual_seed(seed))


def as_published(x: Tensor, scale: Tensor, least: int, most: int) -> Tensor:
    """LSQ in operations that autograd knows: appendix A of the paper, without its gradient scale."""
    levels = (x / scale.view(-1, 1, 1)).clamp(least, most)
    return (levels + (levels.round() - levels).detach()) * scale.view(-1, 1, 1)


@pytest.mark.parametrize(("signed", "least", "most"), [(True, -4, 3), (False, 0, 7)])
def test_gradients_are_those_of_learned_step_sizes(signed: bool, least: int, most: int) -> None:
    boundary = learned(signed=signed)
    x = random_tensor(0, size=4.0)
    x = x if signed else x.relu()
    # Half a level beyond the last still rounds to it and is not clipped here; the paper ends at the level.
    levels = x.detach() / boundary.scale.detach().view(-1, 1, 1)
    between = (levels - levels.clamp(least, most)).abs() <= 0.5
    x = torch.where(between & (levels != levels.clamp(least, most)), 0.0, x)
    scale = boundary.scale.detach().clone().requires_grad_()
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    boundary(one).backward(random_tensor(1))
    as_published(other, scale, least, most).backward(random_tensor(1))
    assert boundary.scale.grad is not None
    assert scale.grad is not None
    torch.testing.assert_close(one.grad, other.grad)
    torch.testing.assert_close(boundary.scale.grad, scale.grad / (4 * most) ** 0.5)


@pytest.mark.parametrize(
    "options",
    [
        BoundaryOptions(keep=0.4, bits=3, ranges="learned"),
        BoundaryOptions(bits=3, dead_zone=1.0, ranges="learned"),
    ],
    ids=["keep", "dead zone"],
)
def test_what_is_pruned_has_no_say_in_the_scale(options: BoundaryOptions) -> None:
    boundary, x, towards = learned(options), random_tensor(2), random_tensor(3)
    if options.dead_zone:
        boundary.rms.fill_(0.7)
    keeps = boundary.apply_to(x).keeps
    assert 0 < int(keeps.sum()) < keeps.numel()
    found = []
    for elsewhere in (0.0, 100.0):
        boundary.zero_grad()
        boundary(x).backward(torch.where(keeps, towards, elsewhere))
        assert boundary.scale.grad is not None
        found.append(boundary.scale.grad.clone())
    assert torch.equal(*found)
    assert bool((found[0] != 0).any())


def test_the_rate_pulls_at_the_scale_too() -> None:
    """As its own derivative by the scale says, where costs are interpolated between levels."""
    boundary = learned()
    assert boundary.rate is not None
    boundary.rate.frequencies.copy_(torch.tensor([1, 2, 4, 8, 16, 8, 4, 2]) / 45)
    boundary.rate_weight = 0.3
    costs = boundary.rate.costs()[0, 0]  # every context has the same
    x = random_tensor(4).clamp(-1.4, 1.4)
    boundary(x.clone().requires_grad_()).backward(torch.zeros_like(x))

    def bits(scale: Tensor) -> Tensor:
        levels = x.double() / scale.view(-1, 1, 1) + 4
        below = levels.floor().long()
        rest = levels - below
        return ((1 - rest) * costs[below] + rest * costs[below + 1]).sum((0, 2, 3))

    scale = boundary.scale.detach().double()
    slope = (bits(scale + 1e-6) - bits(scale - 1e-6)) / 2e-6
    assert boundary.scale.grad is not None
    expected = (0.3 * slope / (4 * 3) ** 0.5).float()
    torch.testing.assert_close(boundary.scale.grad, expected, rtol=1e-3, atol=1e-3)


def test_without_quantization_there_is_nothing_to_learn() -> None:
    boundary = Boundary((2, 2, 2), BoundaryOptions(keep=0.5, ranges="learned"), signed=True)
    assert not list(boundary.parameters())
    boundary = learned()
    boundary.configure(BoundaryOptions(keep=0.5, ranges="learned"))
    boundary(random_tensor(5).requires_grad_()).sum().backward()
    assert boundary.scale.grad is None, "an epoch without quantization"


def test_a_learned_scale_can_be_calibrated() -> None:
    boundary = learned()
    boundary.calibrating = True
    boundary(random_tensor(6))
    boundary.calibrate()
    plain = Boundary((2, 2, 2), BoundaryOptions(bits=3), signed=True)
    plain.calibrating = True
    plain(random_tensor(6))
    plain.calibrate()
    assert torch.equal(boundary.scale, plain.scale)
    assert boundary.scale.requires_grad
