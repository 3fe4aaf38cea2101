import math
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from torchgpipe import GPipe

from splitwire.frame import decode, encode
from splitwire.plan import FLOAT_BITS
from tests.trainer.networks import same_bits
from trainer.boundary import Boundary
from trainer.config import RANGES, BoundaryOptions


@dataclass(frozen=True)
class Case:
    boundary: Boundary
    x: Tensor


def random_activations(shape: tuple[int, ...], *, rows: int, signed: bool, seed: int) -> Tensor:
    """As networks give them: channels of unlike size, one of them silent, exact zeros, repeated values."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((rows, *shape), generator=generator)
    sizes = 10.0 ** torch.empty(shape[0]).uniform_(-4, 3, generator=generator)
    x = x * sizes.view(-1, *[1] * (len(shape) - 1))
    x[:, 0] = 0.0
    x = torch.where(torch.rand(x.shape, generator=generator) < 0.3, 0.0, x)
    x = torch.where(torch.rand(x.shape, generator=generator) < 0.2, x.round(), x)
    return x if signed else x.relu()


def calibrated(shape: tuple[int, ...], options: BoundaryOptions, *, signed: bool, on: Tensor) -> Boundary:
    boundary = Boundary(shape, options, signed=signed)
    boundary.calibrating = True
    boundary(on)
    boundary.calibrate()
    return boundary


@st.composite
def cases(
    draw: st.DrawFn, *, bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8, FLOAT_BITS), dead_zones: bool = True
) -> Case:
    shape = draw(st.one_of(st.tuples(*[st.integers(1, 7)] * 3), st.tuples(st.integers(1, 60))))
    keep = draw(st.one_of(st.just(1.0), st.floats(0.001, 1.0)))
    width, clip = draw(st.sampled_from(bits)), draw(st.none() | st.floats(0.1, 20.0))
    share = draw(st.sampled_from([0.0, 0.2, 0.7, 0.99])) if dead_zones and keep == 1.0 else 0.0
    ranges = draw(st.sampled_from(RANGES))
    options = BoundaryOptions(
        keep, width, clip, dead_zone=share * BoundaryOptions(1.0, width, clip).clip_or_default, ranges=ranges
    )
    rows, signed, seed = draw(st.integers(1, 4)), draw(st.booleans()), draw(st.integers(0, 2**31))
    x = random_activations(shape, rows=rows, signed=signed, seed=seed)
    return Case(calibrated(shape, options, signed=signed, on=x), x)


@given(cases())
def test_training_sees_what_the_other_side_decodes(case: Case) -> None:
    """Bit for bit: simulated = reconstruct(decode(encode(quantize(x))))."""
    symbols = case.boundary.quantize(case.x)
    assert symbols.numpy().dtype == case.boundary.spec.dtype
    sent = encode(symbols.numpy(), case.boundary.spec)
    received = torch.from_numpy(decode(sent, case.boundary.spec).copy())
    assert same_bits(received, symbols)
    assert same_bits(case.boundary.reconstruct(received), case.boundary(case.x))


@pytest.mark.parametrize("bits", [8, FLOAT_BITS])
def test_a_dead_zone_that_grows_later_is_of_what_was_observed_before(bits: int) -> None:
    """As annealing has it where ranges are learned, and nothing but the first stage calibrates."""
    options = BoundaryOptions(bits=bits, dead_zone=0.7, ranges="learned")
    x = random_activations((3, 4, 4), rows=4, signed=True, seed=0)
    expected = calibrated((3, 4, 4), options, signed=True, on=x)
    boundary = Boundary((3, 4, 4), options, signed=True)
    boundary.configure(replace(options, dead_zone=0.0))
    assert boundary.measured
    boundary.calibrating = True
    boundary(x)
    boundary.calibrate()
    boundary.configure(options)
    assert same_bits(boundary(x), expected(x))
    without = calibrated((3, 4, 4), replace(options, dead_zone=0.0), signed=True, on=x)
    assert not same_bits(boundary(x), without(x))


@given(cases())
def test_a_sample_does_not_depend_on_its_neighbours(case: Case) -> None:
    alone = torch.cat([case.boundary.quantize(sample[None]) for sample in case.x])
    assert same_bits(case.boundary.quantize(case.x), alone)


@given(cases())
def test_simulated_once_is_simulated_for_good(case: Case) -> None:
    """What was reconstructed needs no more pruning or rounding.

    But where more than are to be kept are equally large and all cross: one that is clipped is the least then.
    """
    crossing = (case.boundary.quantize(case.x) != case.boundary.spec.zero).flatten(1).sum(1)
    assume(case.boundary.spec.keep == 1.0 or int(crossing.max()) <= case.boundary.kept)
    once = case.boundary(case.x)
    assert torch.allclose(case.boundary(once), once, rtol=1e-6, atol=0)


@given(cases(bits=(2, 3, 4, 5, 6, 7, 8)))
def test_zero_is_exact_and_symbols_are_in_range(case: Case) -> None:
    spec = case.boundary.spec
    symbols = case.boundary.quantize(case.x)
    assert bool((symbols[case.x == 0] == spec.zero).all())
    assert int(symbols.max()) < 1 << spec.bits
    assert bool((case.boundary(case.x)[symbols == spec.zero] == 0).all())
    nothing = torch.zeros_like(case.x)
    assert same_bits(case.boundary(nothing), nothing)


@given(cases(bits=(2, 3, 4, 5, 6, 7, 8)))
def test_what_is_kept_and_not_clipped_is_off_by_half_a_step_at_most(case: Case) -> None:
    """By less than a step next to a dead zone: what is just outside must not be rounded into it."""
    y = case.boundary(case.x)
    passes = case.boundary.apply_to(case.x).passes
    step = case.boundary.scale.view(-1, *[1] * (case.x.ndim - 2)).expand_as(case.x)
    error = (y - case.x).abs()
    assert bool((error <= step * (1.0 if case.boundary.dead_zone else 0.5) * (1 + 1e-4))[passes].all())


@given(cases(dead_zones=False))
def test_the_largest_of_each_sample_are_kept(case: Case) -> None:
    boundary = case.boundary
    n = boundary.spec.elements
    for sample, keeps in zip(case.x.flatten(1).abs(), boundary._keeps(case.x).flatten(1), strict=True):
        count = int(keeps.sum())
        assert count >= math.ceil(boundary.spec.keep * n)
        if count < n:
            least = sample[keeps].min()
            assert bool((sample[~keeps] < least).all())
            # More than asked for only where several are equal at the edge.
            assert count - int((sample == least).sum()) < boundary.kept


@pytest.mark.parametrize(("keep", "kept"), [(0.1, 2), (0.5, 8), (0.51, 9), (1.0, 16), (1e-6, 1)])
def test_a_fraction_is_rounded_up(keep: float, kept: int) -> None:
    boundary = Boundary((16,), BoundaryOptions(keep=keep), signed=True)
    x = torch.arange(1.0, 17.0).flip(0) * torch.tensor([1.0, -1.0]).repeat(8)
    expected = torch.where(torch.arange(16) < kept, x, 0.0)
    assert same_bits(boundary(x[None]), expected[None])


def test_all_of_those_that_tie_at_the_edge_are_kept() -> None:
    boundary = Boundary((5,), BoundaryOptions(keep=0.4), signed=True)
    x = torch.tensor([[3.0, -2.0, 2.0, 1.0, 2.0]])
    assert boundary(x).tolist() == [[3.0, -2.0, 2.0, 0.0, 2.0]]


def test_pruned_negatives_are_positive_zeros() -> None:
    boundary = Boundary((2,), BoundaryOptions(keep=0.5), signed=True)
    assert same_bits(boundary(torch.tensor([[-1.0, -2.0]])), torch.tensor([[0.0, -2.0]]))


@pytest.mark.parametrize(
    ("signed", "expected"), [(False, [0, 0, 2, 5, 10, 15]), (True, [0, 8, 10, 13, 15, 15])]
)
def test_grids(signed: bool, expected: list[int]) -> None:
    """4 bits: sixteen levels from 0 up, or eight below and seven above."""
    boundary = Boundary((1, 1, 6), BoundaryOptions(bits=4), signed=signed)
    assert boundary.scale.tolist() == [1.0]
    x = torch.tensor([-20.0 if signed else 0.0, 0.4, 2.5, 5.4, 9.6, 40.0])
    assert boundary.quantize(x.view(1, 1, 1, 6)).flatten().tolist() == expected
    assert boundary.spec.zero == (8 if signed else 0)


def test_scales_are_those_of_each_channels_root_mean_square() -> None:
    x = random_activations((5, 4, 3), rows=6, signed=True, seed=0)
    for signed, steps in ((True, 8), (False, 15)):
        boundary = calibrated((5, 4, 3), BoundaryOptions(bits=4, clip=3.0), signed=signed, on=x)
        rms = x.square().mean((0, 2, 3)).sqrt()
        assert torch.allclose(boundary.scale[1:], (rms * 3.0 / steps)[1:], rtol=1e-6)
        assert boundary.scale[0] == boundary.scale.max(), "a channel that was silent"


def test_a_channel_of_rounding_errors_stays_silent() -> None:
    """A scale of its own would make noise cross."""
    x = random_activations((5, 4, 3), rows=6, signed=True, seed=0)
    x[:, 0] = 1e-6 * torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0))
    boundary = calibrated((5, 4, 3), BoundaryOptions(bits=4), signed=True, on=x)
    symbols = boundary.quantize(x)
    assert bool((symbols[:, 0] == boundary.spec.zero).all())
    assert all(bool((symbols[:, i] != boundary.spec.zero).any()) for i in range(1, 5))


def test_where_all_is_silent_a_scale_is_a_number() -> None:
    boundary = calibrated((2, 3, 3), BoundaryOptions(bits=4), signed=True, on=torch.zeros(2, 2, 3, 3))
    assert boundary.scale.tolist() == [1.0, 1.0]


def test_the_default_clip_grows_with_the_bits() -> None:
    clips = [BoundaryOptions(bits=bits).clip_or_default for bits in range(2, 9)]
    assert clips == sorted(clips)
    assert BoundaryOptions(bits=4, clip=2.5).clip_or_default == 2.5


def test_calibration_adds_up_over_batches_and_starts_anew() -> None:
    x = random_activations((3, 4, 4), rows=8, signed=True, seed=1)
    whole = calibrated((3, 4, 4), BoundaryOptions(bits=4), signed=True, on=x)
    parts = calibrated((3, 4, 4), BoundaryOptions(bits=4), signed=True, on=1000 * x)
    parts.calibrating = True
    for part in x.split(3):
        assert parts(part) is part, "observed as it is"
    parts.calibrate()
    assert torch.allclose(parts.scale, whole.scale, rtol=1e-6)


def test_scales_are_frozen_and_travel_with_the_state() -> None:
    x = random_activations((3, 4, 4), rows=2, signed=True, seed=2)
    boundary = calibrated((3, 4, 4), BoundaryOptions(bits=4), signed=True, on=x)
    before = boundary.scale.clone()
    boundary.train()(100 * x)
    assert same_bits(boundary.scale, before)
    other = Boundary((3, 4, 4), BoundaryOptions(bits=4), signed=True)
    assert set(boundary.state_dict()) == {"scale", "rate.frequencies", "rate.weights", "rate.bias"}
    other.load_state_dict(boundary.state_dict())
    assert same_bits(other(x), boundary(x))


@given(cases())
def test_the_gradient_passes_straight_where_nothing_was_lost(case: Case) -> None:
    x = case.x.clone().requires_grad_()
    towards = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    (case.boundary(x) * towards).sum().backward()
    passes = case.boundary.apply_to(case.x).passes
    assert x.grad is not None
    assert torch.equal(x.grad, towards * passes)


def test_the_gradient_stops_where_pruned_or_clipped() -> None:
    boundary = Boundary((6,), BoundaryOptions(keep=0.5, bits=2), signed=True)
    x = torch.tensor([[-9.0, 9.0, 1.2, 0.3, -0.2, 0.1]], requires_grad=True)
    y = boundary(x)
    y.sum().backward()
    assert y.tolist() == [[-2.0, 1.0, 1.0, 0.0, 0.0, 0.0]]
    assert x.grad is not None
    assert x.grad.tolist() == [[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]


@given(cases())
def test_below_the_dead_zone_everything_is_zero(case: Case) -> None:
    boundary = case.boundary
    if not boundary.dead_zone:
        return
    edge = (boundary.rms * boundary.dead_zone).view(-1, *[1] * (case.x.ndim - 2))
    if boundary.spec.quantized:  # a grid may end below: its largest level is never pruned
        edge = edge.minimum(boundary.top * boundary.scale.view_as(edge))
    inside = case.x.abs() < edge * (1 - 1e-6)
    outside = case.x.abs() > edge * (1 + 1e-6)
    symbols = boundary.quantize(case.x)
    assert bool((symbols[inside] == boundary.spec.zero).all())
    assert bool((symbols[outside] != boundary.spec.zero).all())
    assert bool((boundary.apply_to(case.x).passes & inside).logical_not().all())


def with_dead_zone(threshold: float, *, bits: int = 4) -> Boundary:
    """Signed, of one channel whose root mean square and scale are 1."""
    boundary = Boundary((1, 1, 7), BoundaryOptions(bits=bits, dead_zone=threshold), signed=True)
    boundary.rms.fill_(1.0)
    return boundary


def test_levels_next_to_the_dead_zone_are_outside_of_it() -> None:
    boundary = with_dead_zone(1.2)
    x = torch.tensor([[[[1.1, 1.2, -1.3, 1.6, 2.6, -0.4, 20.0]]]], requires_grad=True)
    y = boundary(x)
    y.sum().backward()
    assert y.flatten().tolist() == [0.0, 2.0, -2.0, 2.0, 3.0, 0.0, 7.0]
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]


def test_a_dead_zone_beyond_a_grid_that_shrank_leaves_its_largest_level() -> None:
    boundary = with_dead_zone(2.4)
    boundary.scale.fill_(0.1)
    x = torch.tensor([0.6, 0.8, 2.0, 3.0, -0.6, -0.8, -9.0]).view(1, 1, 1, 7)
    expected = torch.tensor([0.0, 0.7, 0.7, 0.7, 0.0, -0.8, -0.8]).view_as(x)
    torch.testing.assert_close(boundary(x), expected)
    torch.testing.assert_close(boundary(boundary(x)), expected)


def test_plain_images_cost_fewer_bytes_with_a_dead_zone() -> None:
    """Top-k keeps as much of every image; that is the point of the alternative."""
    x = random_activations((8, 8, 8), rows=2, signed=True, seed=3)
    x[1] *= 0.1
    boundary = calibrated((8, 8, 8), BoundaryOptions(bits=4, dead_zone=1.0), signed=True, on=x[:1])
    full, plain = (
        len(encode(boundary.quantize(sample[None]).numpy(), boundary.spec).payload) for sample in x
    )
    assert plain < full / 4


def test_a_dead_zone_travels_with_the_state() -> None:
    x = random_activations((3, 4, 4), rows=2, signed=True, seed=2)
    options = BoundaryOptions(bits=4, dead_zone=0.8)
    boundary = calibrated((3, 4, 4), options, signed=True, on=x)
    other = Boundary((3, 4, 4), options, signed=True)
    other.load_state_dict(boundary.state_dict())
    assert same_bits(other(x), boundary(x))


def test_configured_anew_as_if_made_so() -> None:
    """But for the scales, which must be calibrated again where bits change."""
    x = random_activations((3, 4, 4), rows=2, signed=True, seed=4)
    target = BoundaryOptions(bits=3, dead_zone=0.7)
    boundary = Boundary((3, 4, 4), target, signed=True)
    for options in (BoundaryOptions(), BoundaryOptions(bits=8), BoundaryOptions(keep=0.3), target):
        boundary.configure(options)
        boundary.calibrating = True
        boundary(x)
        boundary.calibrate()
        made = calibrated((3, 4, 4), options, signed=True, on=x)
        assert same_bits(boundary(x), made(x))
        assert boundary.spec == made.spec
        assert (boundary.rate is None) == (made.rate is None)
    assert boundary.rate is not None
    assert boundary.rate.frequencies.shape == (3, 17, 8)


def test_off_is_the_identity() -> None:
    boundary = Boundary((3, 2, 2), BoundaryOptions(), signed=True)
    x = torch.randn(2, 3, 2, 2, requires_grad=True)
    assert boundary.spec.off
    assert boundary(x) is x
    with torch.no_grad():
        assert same_bits(boundary.quantize(x), x)
        assert boundary.reconstruct(x) is x


def test_half_precision_crosses_in_single() -> None:
    """Under autocast layers give bfloat16; symbols and what is made of them stay those of float32."""
    boundary = Boundary((4, 2, 2), BoundaryOptions(bits=4), signed=True)
    x = torch.randn(3, 4, 2, 2).bfloat16().requires_grad_()
    y = boundary(x)
    y.sum().backward()
    assert y.dtype == torch.float32
    assert same_bits(y, boundary(x.detach().float()))
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16


def with_rate(*, weight: float) -> Boundary:
    boundary = Boundary((1, 1, 4), BoundaryOptions(bits=2), signed=True).train()
    assert boundary.rate is not None
    boundary.rate.frequencies.copy_(torch.tensor([0.125, 0.25, 0.5, 0.125]))  # -2: 3 bits, 0: 1 bit
    boundary.rate_weight = weight
    return boundary


def test_the_rate_has_its_gradient_where_nothing_is_clipped() -> None:
    boundary = with_rate(weight=10.0)
    boundary.scale.fill_(0.5)
    x = torch.tensor([[[[-9.0, -0.3, 0.1, 0.4]]]], requires_grad=True)  # levels -18, -0.6, 0.2 and 0.8
    boundary(x).sum().backward()
    assert x.grad is not None
    # One bit less, or two more, a level; a level is 0.5; a straight gradient of 1 on top.
    assert x.grad.flatten().tolist() == [0.0, 1.0 - 10 * 1 / 0.5, 1.0 + 10 * 2 / 0.5, 1.0 + 10 * 2 / 0.5]


@pytest.mark.parametrize(("training", "weight"), [(True, 0.0), (False, 1.0)])
def test_no_rate_outside_of_training_or_without_weight(training: bool, weight: float) -> None:
    boundary = with_rate(weight=weight).train(training)
    x = torch.randn(2, 1, 1, 4, requires_grad=True)
    y = boundary(x)
    y.sum().backward()
    assert x.grad is not None
    assert set(x.grad.flatten().tolist()) <= {0.0, 1.0}
    assert boundary.rate is not None
    assert boundary.rate.update() == 0.0


def test_what_is_recomputed_is_counted_once() -> None:
    """GPipe's checkpointing runs a partition again in the backward pass."""
    boundary = with_rate(weight=1.0)
    pipe = GPipe(torch.nn.Sequential(boundary), [1], devices=["cpu"], chunks=2, checkpoint="always")
    x = torch.zeros(6, 1, 1, 4, requires_grad=True)
    pipe(x).sum().backward()
    assert boundary.rate is not None
    assert boundary.rate.update() == 6 * 4 * 1.0
