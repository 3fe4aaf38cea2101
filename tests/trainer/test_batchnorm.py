from collections.abc import Iterator
from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.trainer.networks import make_images, make_model
from trainer.batchnorm import DeferredBatchNorm2d, defer_batch_norm, reestimate_batch_norm

CHANNELS = 5


def activations(rows: int, seed: int = 0) -> Tensor:
    """Channels of unlike mean and size: means far from zero are where sums of squares lose their digits."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((rows, CHANNELS, 6, 6), generator=generator)
    return x * torch.tensor([1.0, 10.0, 0.1, 1.0, 3.0]).view(-1, 1, 1) + torch.tensor(
        [0.0, 3.0, -0.2, 30.0, -1.0]
    ).view(-1, 1, 1)


def close(one: nn.BatchNorm2d, other: nn.BatchNorm2d) -> bool:
    assert one.running_mean is not None
    assert one.running_var is not None
    assert other.running_mean is not None
    assert other.running_var is not None
    return (
        torch.allclose(one.running_mean, other.running_mean, rtol=1e-4, atol=1e-5)
        and torch.allclose(one.running_var, other.running_var, rtol=1e-4, atol=1e-6)
        and one.num_batches_tracked == other.num_batches_tracked
    )


@given(
    st.lists(st.lists(st.integers(1, 6), min_size=4, max_size=4), min_size=1, max_size=3),
    st.sampled_from([0.1, 0.7, None]),
)
def test_four_micro_batches_count_as_their_mini_batch(
    batches: list[list[int]], momentum: float | None
) -> None:
    plain = nn.BatchNorm2d(CHANNELS, momentum=momentum)
    deferred = DeferredBatchNorm2d(CHANNELS, chunks=4, momentum=momentum)
    for seed, rows in enumerate(batches):
        mini_batch = activations(sum(rows), seed)
        plain(mini_batch)
        for micro_batch in mini_batch.split(rows):
            deferred(micro_batch)
    assert close(deferred, plain)


def test_nothing_is_tracked_before_the_last_micro_batch() -> None:
    norm = DeferredBatchNorm2d(CHANNELS, chunks=3)
    for count in (0, 0, 1, 1, 1, 2):
        norm(activations(2))
        assert norm.num_batches_tracked == count


def test_each_micro_batch_is_normalized_by_its_own_statistics() -> None:
    plain, deferred = nn.BatchNorm2d(CHANNELS), DeferredBatchNorm2d(CHANNELS, chunks=2)
    one, other = activations(4).requires_grad_(), activations(4).requires_grad_()
    expected, found = plain(one), deferred(other)
    assert torch.equal(found, expected)
    expected.square().sum().backward()
    found.square().sum().backward()
    assert one.grad is not None
    assert other.grad is not None
    assert torch.equal(one.grad, other.grad)


def test_bfloat16_keeps_variances_positive() -> None:
    """Sums of rounded squares made one negative where the mean is large."""
    norm = DeferredBatchNorm2d(CHANNELS, chunks=2, momentum=1.0)
    x = activations(16).bfloat16()
    for micro_batch in x.split(8):
        assert norm(micro_batch).dtype == torch.bfloat16
    assert norm.running_var is not None
    assert torch.allclose(norm.running_var, x.float().var((0, 2, 3)), rtol=1e-3)


def test_a_constant_channel_stays_finite() -> None:
    norm = DeferredBatchNorm2d(1, chunks=2, momentum=1.0)
    for _ in range(2):
        norm(torch.full((4, 1, 2, 2), 3.0))
    assert norm.running_var is not None
    assert abs(float(norm.running_var)) < 1e-9
    assert bool(norm.eval()(torch.full((1, 1, 2, 2), 3.0)).isfinite().all())


def test_deferring_keeps_tensors_names_and_evaluation() -> None:
    model = make_model()
    state = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    images = make_images(2)
    with torch.no_grad():
        before = model(images)
        defer_batch_norm(model, chunks=4)
        model.eval()
        assert torch.equal(model(images), before)
    assert {name: tensor.data_ptr() for name, tensor in model.state_dict().items()} == state
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 52
    assert all(isinstance(norm, DeferredBatchNorm2d) and norm.chunks == 4 for norm in norms)


def norms_of(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


def test_estimates_are_the_mean_over_the_batches() -> None:
    model = nn.Sequential(nn.BatchNorm2d(CHANNELS), nn.Dropout(0.9), nn.BatchNorm2d(CHANNELS))
    batches = [activations(8, seed) for seed in range(3)]
    for norm in norms_of(model):
        nn.init.constant_(norm.get_buffer("running_mean"), 7.0)  # what came before plays no part
    reestimate_batch_norm(model, batches)
    first, second = norms_of(model)
    assert first.running_mean is not None
    assert first.running_var is not None
    assert torch.allclose(first.running_mean, torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0))
    assert torch.allclose(first.running_var, torch.stack([b.var((0, 2, 3)) for b in batches]).mean(0))
    # Behind the first norm, with no dropout: zero mean, unit variance.
    assert second.running_mean is not None
    assert second.running_var is not None
    assert torch.allclose(second.running_mean, torch.zeros(CHANNELS), atol=1e-4)
    assert torch.allclose(second.running_var, torch.ones(CHANNELS), atol=1e-2)


@pytest.mark.parametrize("training", [True, False])
def test_momentum_and_mode_are_as_before(training: bool) -> None:
    model = make_model(dropout=0.5).train(training)
    norms_of(model)[3].momentum = 0.3

    def failing() -> Iterator[Tensor]:
        yield make_images(2)
        raise KeyboardInterrupt

    for batches in ([make_images(2)], failing()):
        with suppress(KeyboardInterrupt):
            reestimate_batch_norm(model, batches)
        assert all(module.training == training for module in model.modules())
        momenta = [norm.momentum for norm in norms_of(model)]
        assert momenta == [0.3 if i == 3 else 0.1 for i in range(len(momenta))]


def test_estimating_leaves_no_gradients() -> None:
    model = make_model()
    reestimate_batch_norm(model, [make_images(2)])
    assert all(parameter.grad is None for parameter in model.parameters())
