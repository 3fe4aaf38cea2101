from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from splitwire.errors import CheckpointError
from splitwire.plan import LAYERS, SplitPlan
from tests.trainer.networks import (
    CLASSES,
    make_config,
    make_dataset,
    make_images,
    make_model,
    make_network,
    tensors,
)
from trainer.batchnorm import DeferredBatchNorm2d, defer_batch_norm, reestimate_batch_norm
from trainer.config import CHECKPOINT_MODES, Bottleneck, BoundaryOptions
from trainer.evaluate import Evaluation
from trainer.freeze import freeze
from trainer.model import MobileNetV2
from trainer.network import SplitNetwork
from trainer.pipeline import build_pipeline
from trainer.train import Trainer

TARGETS = torch.arange(8) % CLASSES

#: Less and more than the head of three layers, exactly that, and all but the classifier.
COUNTS = [2, 3, 5, 19]


def frozen_model(count: int) -> MobileNetV2:
    model = make_model()
    defer_batch_norm(model, chunks=1)
    freeze(model, count)
    return model


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def changed(network: nn.Module, before: dict[str, Tensor]) -> set[str]:
    """The layers of which anything changed."""
    now = network.state_dict()
    return {name.split(".")[1] for name in now if not torch.equal(now[name], before[name])} & set(LAYERS)


def make(folder: Path, **changes: Any) -> Trainer:
    """A run that begins with statistics and gains which differ between channels, as published weights do."""
    run = Trainer(make_config(**changes), make_dataset(), folder, progress=False)
    run.model.load_state_dict(make_model().state_dict())
    return run


@pytest.mark.parametrize("count", [0, *COUNTS])
def test_the_first_layers_need_no_gradients(count: int) -> None:
    model = frozen_model(count)
    learning = {name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad}
    assert learning == set(LAYERS[count:])


@pytest.mark.parametrize("count", COUNTS)
def test_frozen_norms_stay_in_evaluation_mode_and_others_do_not(count: int) -> None:
    model = frozen_model(count)
    for mode in (True, False, True):
        model.train(mode)
        for name, module in model.named_modules():
            if isinstance(module, DeferredBatchNorm2d):
                frozen = name.split(".")[1] in LAYERS[:count]
                assert module.training == (mode and not frozen), name


@pytest.mark.parametrize("count", [0, *COUNTS])
def test_re_estimating_leaves_frozen_statistics(count: int) -> None:
    model = frozen_model(count)
    before = state(model)
    reestimate_batch_norm(model, [make_images(8), make_images(8, seed=3)])
    assert changed(model, before) == set(LAYERS[count:-1])


def test_statistics_behind_frozen_layers_are_of_what_these_compute_in_service() -> None:
    model, images = frozen_model(3).eval(), make_images(8)
    expand = model.get_submodule("layers.block3.conv.0")
    with torch.no_grad():
        convolved = expand.get_submodule("0")(model.layers[:3](images))
    reestimate_batch_norm(model, [images])
    torch.testing.assert_close(expand.get_buffer("1.running_mean"), convolved.mean((0, 2, 3)))


def gradients(network: SplitNetwork, module: nn.Module) -> dict[str, Tensor]:
    cross_entropy(module(make_images(8)), TARGETS).backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("mode", CHECKPOINT_MODES)
@pytest.mark.parametrize("count", COUNTS)
def test_through_the_pipeline_the_others_have_the_gradients_of_a_plain_loop(mode: str, count: int) -> None:
    """One micro-batch, so that live statistics are the same."""
    coarse = BoundaryOptions(bits=4, gradient_bits=8, ranges="learned")
    found = []
    for checkpoint in (None, mode):
        model = make_model()
        network = make_network(model=model, uplink=coarse, downlink=coarse)
        pipeline = build_pipeline(
            network, edge_device="cpu", cloud_device="cpu", chunks=1, checkpoint=checkpoint or "never"
        )
        freeze(model, count)
        network.train()
        network.seed_gradients(1)
        found.append(gradients(network, network if checkpoint is None else pipeline.train()))
    plain, piped = found
    assert plain.keys() == piped.keys()
    learning = {name.split(".")[1] for name in plain} & set(LAYERS)
    assert learning == set(LAYERS[count:])
    for name, gradient in piped.items():
        torch.testing.assert_close(gradient, plain[name])


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
@pytest.mark.parametrize("count", COUNTS)
def test_a_run_leaves_them_as_they_were(tmp_path: Path, optimizer: str, count: int) -> None:
    run = make(
        tmp_path,
        freeze=count,
        optimizer=optimizer,
        epochs=2,
        weight_decay=0.1,
        layer_rates=(1.0, 0.6, 0.4),
        uplink=BoundaryOptions(bits=4, bottleneck=Bottleneck(4)),
    )
    before = state(run.network)
    result = run.run()
    assert isinstance(result, Evaluation)
    assert changed(run.network, before) == set(LAYERS[count:])


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_the_optimizer_has_nothing_of_theirs(tmp_path: Path, optimizer: str) -> None:
    run = make(tmp_path, freeze=19, optimizer=optimizer, epochs=1)
    run.run()
    held = tensors(run.optimizer.state_dict()["parts"])
    classifier = run.model.layers[-1]
    assert sorted(t.shape for t in held.values()) == sorted(p.shape for p in classifier.parameters())


def test_a_run_with_other_frozen_layers_is_another(tmp_path: Path) -> None:
    make(tmp_path, epochs=1, freeze=2).run()
    with pytest.raises(CheckpointError, match=r"was made with other options: --freeze 2 \(now 0\)$"):
        make(tmp_path, epochs=1).resume()


def test_without_a_tail(tmp_path: Path) -> None:
    run = make(tmp_path, epochs=1, freeze=6, plan=SplitPlan(6, 0))
    before = state(run.network)
    run.run()
    assert changed(run.network, before) == set(LAYERS[6:])
