from copy import deepcopy
from typing import Any

import pytest
import torch

from splitwire.plan import LAYERS
from tests.trainer.networks import OFF, make_config, make_images, make_network, same_bits, tensors
from trainer.config import Bottleneck, BoundaryOptions
from trainer.network import SplitNetwork
from trainer.optimizer import SplitOptimizer

LEARNED = BoundaryOptions(bits=4, ranges="learned")


def take_steps(network: SplitNetwork, optimizer: SplitOptimizer, scales: list[float]) -> None:
    network.train()
    for scale in scales:
        optimizer.zero_grad()
        network(make_images(4)).square().mean().backward()
        optimizer.step(scale)


def make(**options: Any) -> tuple[SplitNetwork, SplitOptimizer]:
    network = make_network(uplink=options.get("uplink", OFF), downlink=options.get("downlink", OFF))
    return network, SplitOptimizer(network, make_config(**options))


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
@pytest.mark.parametrize("boundary", [OFF, LEARNED], ids=["off", "learned"])
def test_every_parameter_moves_once(optimizer: str, boundary: BoundaryOptions) -> None:
    network, optimizer_ = make(optimizer=optimizer, uplink=boundary, downlink=boundary)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    take_steps(network, optimizer_, [1.0])
    assert all(not same_bits(p, before[name]) for name, p in network.named_parameters())
    owned = [id(p) for part in optimizer_._parts for group in part.param_groups for p in group["params"]]
    assert sorted(owned) == sorted(id(p) for p in network.parameters())


def test_muon_moves_dense_convolutions_alone() -> None:
    network, optimizer = make(optimizer="muon")
    (group,) = optimizer._parts[1].param_groups
    theirs = {id(parameter) for parameter in group["params"]}
    names = {name for name, parameter in network.named_parameters() if id(parameter) in theirs}
    assert "head.stem.0.weight" in names
    assert "body.block5.conv.0.0.weight" in names
    assert "body.block5.conv.1.0.weight" not in names, "depthwise"
    assert not any("classifier" in name or name.endswith("bias") for name in names)


def test_a_scale_of_zero_stands_still() -> None:
    network, optimizer = make(optimizer="muon", weight_decay=0.1)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    take_steps(network, optimizer, [0.0])
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter, before[name], rtol=1e-6, atol=0)


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_sgd_at_its_scale_is_torchs(optimizer: str) -> None:
    network, ours = make(optimizer=optimizer, weight_decay=0.01)
    other = make_network()
    theirs = torch.optim.SGD(other.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    take_steps(network, ours, [0.5])
    for group in theirs.param_groups:
        group["lr"] = 0.025
    other.train()(make_images(4)).square().mean().backward()
    theirs.step()
    name = "tail.classifier.1.weight"
    assert same_bits(network.get_parameter(name), other.get_parameter(name))


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_learned_scales_have_the_learning_rate_of_sgd_and_no_weight_decay(optimizer: str) -> None:
    network, ours = make(optimizer=optimizer, uplink=LEARNED, downlink=LEARNED, weight_decay=0.5)
    before = [boundary.scale.detach().clone() for boundary in network.boundaries]
    take_steps(network, ours, [0.3])
    for boundary, scale in zip(network.boundaries, before, strict=True):
        assert boundary.scale.grad is not None
        expected = (scale - 0.3 * 0.05 * boundary.scale.grad).clamp(min=scale / 2, max=scale * 2)
        torch.testing.assert_close(boundary.scale, expected)
        within = (boundary.scale > scale / 2) & (boundary.scale < scale * 2)
        assert float(within.float().mean()) > 0.9, "the limit is for exceptions"
    for part in ours._parts:
        peak = 0.06 if part is ours._parts[-1] and optimizer == "muon" else 0.05
        assert [group["lr"] for group in part.param_groups] == [0.3 * peak] * len(part.param_groups)


@pytest.mark.parametrize(("gradient", "factor"), [(1e6, 0.5), (-1e6, 2.0)])
def test_no_step_more_than_halves_or_doubles_a_learned_scale(gradient: float, factor: float) -> None:
    network, optimizer = make(uplink=LEARNED)
    scale = network.uplink.scale
    before = scale.detach().clone()
    scale.grad = torch.full_like(scale, gradient)
    optimizer.step(1.0)
    assert same_bits(scale, factor * before)


def test_without_learned_scales_the_state_is_as_it_was() -> None:
    _, optimizer = make()
    (part,) = optimizer.state_dict()["parts"]
    assert len(part["param_groups"]) == 1


def test_state_of_another_optimizer_is_refused() -> None:
    _, sgd = make()
    _, muon = make(optimizer="muon")
    with pytest.raises(ValueError, match="doesn't match the size"):
        sgd.load_state_dict(muon.state_dict())


def test_state_is_all_that_a_step_depends_on() -> None:
    network, optimizer = make(optimizer="muon")
    take_steps(network, optimizer, [1.0, 0.7])
    other, continued = make(optimizer="muon")
    other.load_state_dict(network.state_dict())
    continued.load_state_dict(deepcopy(optimizer.state_dict()))
    for one, its in ((network, optimizer), (other, continued)):
        take_steps(one, its, [0.4])
    for name, tensor in tensors(network.state_dict()).items():
        assert same_bits(tensor.float(), tensors(other.state_dict())[name].float()), name


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_layers_learn_at_their_rates(optimizer: str) -> None:
    rates = {"layer_rates": (1.0, 0.6, 0.4), "learning_rate": 0.5, "matrix_learning_rate": 0.1}
    network, made = make(optimizer=optimizer, **rates)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {
        names[id(parameter)].split(".")[1]: round(group["lr"] / peak, 6)
        for part, peak in zip(made._parts, (0.5, 0.1), strict=False)
        for group in part.param_groups
        for parameter in group["params"]
    }
    late = dict.fromkeys(("block14", "block15", "block16", "block17", "conv_last"), 0.6)
    early = dict.fromkeys(LAYERS[:14], 0.4)
    assert found == {"classifier": 1.0, **late, **early}


def test_bottlenecks_and_learned_scales_learn_at_the_full_rate() -> None:
    reduced = BoundaryOptions(bits=4, ranges="learned", bottleneck=Bottleneck(4, 2))
    network, made = make(layer_rates=(1.0, 0.6, 0.4), uplink=reduced, learning_rate=0.5)
    rate = {id(p): group["lr"] for group in made._parts[0].param_groups for p in group["params"]}
    new = [p for name, p in network.named_parameters() if ".uplink" in name]
    assert len(new) > 3
    assert {rate[id(p)] for p in new} == {0.5}
