from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchgpipe import GPipe

from splitwire.errors import ConfigError
from splitwire.plan import SplitPlan
from tests.trainer.networks import CLASSES, OFF, make_images, make_network, same_bits
from trainer.batchnorm import DeferredBatchNorm2d
from trainer.config import CHECKPOINT_MODES, BoundaryOptions
from trainer.network import SplitNetwork
from trainer.pipeline import build_pipeline, on_cpu

ROWS, CHUNKS = 8, 4
TARGETS = torch.arange(ROWS) % CLASSES
LOSSY: dict[str, Any] = {"uplink": BoundaryOptions(keep=0.5, bits=4), "downlink": BoundaryOptions(bits=3)}
LEARNED: dict[str, Any] = {
    "uplink": BoundaryOptions(keep=0.5, bits=4, ranges="learned"),
    "downlink": BoundaryOptions(bits=3, dead_zone=0.5, ranges="learned"),
}


def build(network: SplitNetwork, **changes: Any) -> GPipe:
    options: dict[str, Any] = {
        "edge_device": "cpu",
        "cloud_device": "cpu",
        "chunks": CHUNKS,
        "checkpoint": "never",
    }
    return build_pipeline(network, **options | changes)


def gradients(network: SplitNetwork, module: nn.Module) -> dict[str, Tensor]:
    """Of one step through `module`, which is, or runs, `network`."""
    network.zero_grad()
    cross_entropy(module(make_images(ROWS)), TARGETS).backward()
    return of(network)


def of(network: SplitNetwork) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    assert len(found) == len(list(network.parameters()))
    return found


def freeze_norms(network: SplitNetwork) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, gradient in found.items():
        size = float(expected[name].abs().max())
        assert torch.allclose(gradient, expected[name], rtol=1e-3, atol=1e-5 * size), name


@pytest.mark.parametrize("mode", CHECKPOINT_MODES)
@pytest.mark.parametrize("plan", [SplitPlan(3, 1), SplitPlan(5, 0)])
def test_micro_batches_give_the_gradients_of_the_whole_batch(mode: str, plan: SplitPlan) -> None:
    """With BatchNorm's statistics fixed, since those of a micro-batch are its own."""
    plain = make_network(plan)
    expected = gradients(plain, plain)
    network = make_network(plan)
    pipeline = build(network, checkpoint=mode)
    pipeline.train()
    freeze_norms(network)
    assert_close(gradients(network, pipeline), expected)


@pytest.mark.parametrize("mode", CHECKPOINT_MODES)
@pytest.mark.parametrize("boundaries", [{}, LOSSY, LEARNED], ids=["off", "on", "learned"])
def test_training_is_a_plain_loop_over_the_micro_batches(mode: str, boundaries: dict[str, Any]) -> None:
    """With live BatchNorm: the same gradients, and statistics counted once, recomputed or not."""
    plain = make_network(**boundaries)
    plain.train()
    for images, targets in zip(make_images(ROWS).chunk(CHUNKS), TARGETS.chunk(CHUNKS), strict=True):
        (cross_entropy(plain(images), targets) / CHUNKS).backward()
    network = make_network(**boundaries)
    pipeline = build(network, checkpoint=mode)
    pipeline.train()
    seen = [m.num_batches_tracked.clone() for m in norms(network) if m.num_batches_tracked is not None]
    assert_close(gradients(network, pipeline), of(plain))
    for before, norm in zip(seen, norms(network), strict=True):
        assert norm.num_batches_tracked == before + 1


def norms(network: SplitNetwork) -> list[DeferredBatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, DeferredBatchNorm2d)]


@pytest.mark.parametrize("mode", ["except_last", "always"])
@pytest.mark.parametrize("gradient_bits", [None, 3])
def test_recomputing_changes_nothing(mode: str, gradient_bits: int | None) -> None:
    """Dropout's draws, those of compressed gradients, statistics: bit for bit as if activations were kept."""
    boundaries = {name: replace(options, gradient_bits=gradient_bits) for name, options in LEARNED.items()}
    results = []
    for checkpoint in ("never", mode):
        network = make_network(dropout=0.5, **boundaries)
        pipeline = build(network, checkpoint=checkpoint)
        pipeline.train()
        torch.manual_seed(3)
        network.seed_gradients(3)
        found = gradients(network, pipeline)
        results.append(found | {name: t.float() for name, t in network.state_dict().items()})
    kept, recomputed = results
    assert all(same_bits(tensor, kept[name]) for name, tensor in recomputed.items())


def test_evaluates_as_the_network_does() -> None:
    network = make_network(**LOSSY)
    pipeline = build(network).eval()
    with torch.no_grad():
        assert torch.allclose(pipeline(make_images(5)), network(make_images(5)), atol=1e-6)


def test_estimating_without_gradients_keeps_no_graph() -> None:
    """The partitions run in threads of their own, which must know."""
    pipeline = build(make_network())
    pipeline.train()
    with torch.no_grad():
        assert not pipeline(make_images(ROWS)).requires_grad


@pytest.mark.parametrize(("back", "partitions"), [(0, 2), (1, 3)])
def test_one_partition_a_side(back: int, partitions: int) -> None:
    network = make_network(SplitPlan(3, back), uplink=OFF)
    before = list(network.state_dict())
    pipeline = build(network)
    assert pipeline.balance == [1] * partitions
    assert list(network.state_dict()) == before, "no prefix of the pipeline's own"
    assert {id(p) for p in pipeline.parameters()} == {id(p) for p in network.parameters()}


@pytest.mark.parametrize("device", ["cuda:99", "toaster", "cpu:x", ""])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(ConfigError, match=f"no device '{device}' here: "):
        build(make_network(), cloud_device=device)


def test_on_the_cpu_for_a_while() -> None:
    """Devices without memory stand for accelerators: what is there has no values, what is back has none."""
    network = make_network()
    pipeline = build(network)
    pipeline.devices = [torch.device("meta")] * len(pipeline.partitions)
    with on_cpu(pipeline):
        assert {tensor.device.type for tensor in network.state_dict().values()} == {"cpu"}
        network(make_images(1))
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}
