import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softmax

from splitwire.errors import ConfigError, WeightsError
from splitwire.plan import SplitPlan
from tests.trainer.networks import (
    CLASSES,
    make_config,
    make_dataset,
    make_images,
    make_model,
    make_network,
    same_bits,
)
from trainer.checkpoint import save_checkpoint
from trainer.config import Bottleneck, BoundaryOptions
from trainer.data.preprocessing import PreprocessOptions
from trainer.distill import Teacher, distillation_loss
from trainer.export import export_bundle
from trainer.train import Trainer
from trainer.weights import torchvision_name


def write_teacher(folder: Path, *, width: float = 0.1) -> Path:
    network = make_network(SplitPlan(5, 1), model=make_model(width=width, seed=3))
    path = folder / "checkpoint.pt"
    save_checkpoint(path, {"network": network.state_dict(), "config": json.dumps({"width": width})})
    return path


def load(path: Path, *, classes: int = CLASSES) -> Teacher:
    labels = tuple(f"class {i}" for i in range(classes))
    return Teacher(path, labels=labels, preprocess=make_dataset().preprocess, bf16=False)


@pytest.mark.parametrize("width", [0.1, 0.35])
def test_answers_as_the_network_of_the_checkpoint(tmp_path: Path, width: float) -> None:
    teacher = load(write_teacher(tmp_path, width=width))
    with torch.no_grad():
        expected = make_model(width=width, seed=3)(make_images(3))
    found = teacher(make_images(3))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not found.requires_grad


def test_answers_as_published_weights_do(tmp_path: Path) -> None:
    model = make_model(width=0.35, seed=3)
    state = {torchvision_name(name): tensor for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "net.safetensors")
    with torch.no_grad():
        expected = model(make_images(3))
    found = load(tmp_path / "net.safetensors")(make_images(3))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bottleneck", [None, Bottleneck(4, 2)])
def test_answers_as_a_bundle_does_but_for_its_quantization(
    tmp_path: Path, bottleneck: Bottleneck | None
) -> None:
    uplink, dataset = BoundaryOptions(bottleneck=bottleneck), make_dataset()
    network = make_network(SplitPlan(3, 1), uplink=uplink, model=make_model(seed=3))
    path = tmp_path / "bundle"
    training = {"uplink": asdict(uplink), "downlink": asdict(BoundaryOptions())}
    export_bundle(
        path,
        network,
        labels=dataset.labels,
        preprocess=dataset.preprocess,
        metrics={"training": training},
        name="a teacher",
    )
    with torch.no_grad():
        expected = network(make_images(3))
    torch.testing.assert_close(load(path)(make_images(3)), expected, rtol=1e-3, atol=1e-3)
    with pytest.raises(
        WeightsError, match=f"tells {CLASSES} classes apart .*; the student has {CLASSES + 1}"
    ):
        load(path, classes=CLASSES + 1)


@pytest.mark.parametrize("back", [0, 1])
def test_answers_as_a_run_with_bottlenecks_does_but_for_its_quantization(tmp_path: Path, back: int) -> None:
    """Its layers alone, without what was trained between them, would answer at random."""
    reduced = BoundaryOptions(bits=4, bottleneck=Bottleneck(4, 2, blocks=1, encoder_blocks=1))
    config = make_config(plan=SplitPlan(3, back), uplink=reduced)
    network = make_network(config.plan, uplink=replace(reduced, bits=32), model=make_model(seed=3))
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"network": network.state_dict(), "config": json.dumps(asdict(config))})
    with torch.no_grad():
        expected = network(make_images(3))
    torch.testing.assert_close(load(path)(make_images(3)), expected, rtol=1e-4, atol=1e-4)
    lacking = {k: v for k, v in network.state_dict().items() if "uplink_decoder" not in k}
    save_checkpoint(path, {"network": lacking, "config": json.dumps(asdict(config))})
    with pytest.raises(WeightsError, match=r"no teacher: .* lacks weights of the bottlenecks"):
        load(path)


def write_run(folder: Path, **options: Any) -> Path:
    config = make_config(**options)
    network = make_network(config.plan, model=make_model(seed=3))
    path = folder / "checkpoint.pt"
    save_checkpoint(path, {"network": network.state_dict(), "config": json.dumps(asdict(config))})
    return path


def write_bundle(folder: Path, **options: Any) -> Path:
    config, dataset = make_config(**options), make_dataset()
    export_bundle(
        folder / "bundle",
        make_network(config.plan, model=make_model(seed=3)),
        labels=dataset.labels,
        preprocess=config.preprocess.over(dataset.preprocess),
        metrics={"training": config.to_json()},
        name="a teacher",
    )
    return folder / "bundle"


@pytest.mark.parametrize("write", [write_run, write_bundle])
@pytest.mark.parametrize(
    ("uplink", "downlink", "named"),
    [
        (BoundaryOptions(keep=0.5, bits=4), BoundaryOptions(bits=4), "uplink keep 0.5"),
        (BoundaryOptions(), BoundaryOptions(bits=4, dead_zone=0.7), "downlink dead-zone 0.7"),
    ],
)
def test_one_that_was_trained_with_pruning_is_none(
    tmp_path: Path,
    write: Callable[..., Path],
    uplink: BoundaryOptions,
    downlink: BoundaryOptions,
    named: str,
) -> None:
    path = write(tmp_path, uplink=uplink, downlink=downlink)
    with pytest.raises(WeightsError, match=rf"trained with pruning \({named}\).* with --weights {path}$"):
        load(path)


@pytest.mark.parametrize("write", [write_run, write_bundle])
def test_what_logits_had_in_store_was_not_done_to_them(tmp_path: Path, write: Callable[..., Path]) -> None:
    plain, pruned = BoundaryOptions(bits=4), BoundaryOptions(keep=0.5)
    load(write(tmp_path, plan=SplitPlan(3, 0), uplink=plain, downlink=pruned))


@pytest.mark.parametrize("write", [write_run, write_bundle])
def test_is_for_images_of_the_same_normalization(tmp_path: Path, write: Callable[..., Path]) -> None:
    plain = BoundaryOptions(bits=4)
    same = PreprocessOptions(mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2))
    load(write(tmp_path, uplink=plain, downlink=plain, preprocess=same))
    (other := tmp_path / "other").mkdir()
    path = write(other, uplink=plain, downlink=plain, preprocess=PreprocessOptions(std=(0.2, 0.2, 0.25)))
    with pytest.raises(WeightsError, match=r"std 0.2 0.2 0.25, .* 0.2 0.2 0.2: give it --std"):
        load(path)


def test_is_for_the_same_classes(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="classes"):
        load(write_teacher(tmp_path), classes=CLASSES + 1)


@pytest.mark.parametrize("state", [None, {}, {"config": "{}"}, {"config": "no json", "network": {}}])
def test_what_is_no_teacher(tmp_path: Path, state: dict[str, object] | None) -> None:
    path = tmp_path / "checkpoint.pt"
    if state is not None:
        save_checkpoint(path, state)
    with pytest.raises(WeightsError, match="teacher"):
        load(path)


def random_logits(seed: int) -> Tensor:
    return 3 * torch.randn(5, CLASSES, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_loss_is_least_where_the_student_agrees(temperature: float) -> None:
    teacher = random_logits(0)
    assert float(distillation_loss(teacher, teacher, temperature)) == pytest.approx(0, abs=1e-6)
    assert float(distillation_loss(random_logits(1), teacher, temperature)) > 0.1


def test_at_temperature_one_its_gradient_is_that_of_soft_labels() -> None:
    teacher, student = random_logits(0), random_logits(1).requires_grad_()
    (found,) = torch.autograd.grad(distillation_loss(student, teacher, 1.0), student)
    (expected,) = torch.autograd.grad(cross_entropy(student, softmax(teacher, 1)), student)
    torch.testing.assert_close(found, expected)


def test_at_a_high_temperature_logits_are_matched() -> None:
    """Hinton et al., equation 4: the gradient tends to the difference of centred logits, over N."""
    teacher, student = random_logits(0), random_logits(1).requires_grad_()
    (found,) = torch.autograd.grad(5 * distillation_loss(student, teacher, 100.0), student)
    centred = [x - x.mean(1, keepdim=True) for x in (student.detach(), teacher)]
    torch.testing.assert_close(found, (centred[0] - centred[1]) / CLASSES, rtol=0.1, atol=0.02)


def test_a_teacher_and_its_weight_go_together(tmp_path: Path) -> None:
    teacher = load(write_teacher(tmp_path))
    with pytest.raises(ConfigError, match="teacher"):
        Trainer(make_config(distill_weight=0.5), make_dataset(), tmp_path, progress=False)
    with pytest.raises(ConfigError, match="teacher"):
        Trainer(make_config(), make_dataset(), tmp_path, progress=False, teacher=teacher)


def test_a_student_of_full_weight_learns_what_the_teacher_says(tmp_path: Path) -> None:
    """Labels play no part: those of the second run are wrong, and its weights come out the same."""
    runs = []
    for name, shift in (("right", 0), ("wrong", 1)):
        dataset = make_dataset()
        dataset.train.targets[:] = (dataset.train.targets + shift) % CLASSES
        config = make_config(epochs=1, distill_weight=1.0)
        run = Trainer(config, dataset, tmp_path / name, progress=False, teacher=load(write_teacher(tmp_path)))
        run.run()
        runs.append(run)
    state = runs[0].network.state_dict()
    assert all(same_bits(t.float(), state[n].float()) for n, t in runs[1].network.state_dict().items())
