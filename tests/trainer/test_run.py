import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trainer.train
from splitwire.bundle import Bundle
from splitwire.errors import CheckpointError, WeightsError
from splitwire.plan import SplitPlan
from tests.trainer.networks import make_config, make_dataset, make_model
from trainer.checkpoint import load_checkpoint, save_checkpoint
from trainer.config import BoundaryOptions
from trainer.run import _history, run
from trainer.weights import torchvision_name

DATASET = make_dataset(test=40)


def go(folder: Path, *, epochs: int = 1, resume: bool = False, **more: Any) -> Bundle:
    config = make_config(epochs=epochs, **more.pop("config", {}))
    bundle = more.pop("bundle", folder / "bundle")
    return run(
        config,
        DATASET,
        folder=folder,
        bundle=bundle,
        resume=resume,
        progress=False,
        **more,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    torch.set_num_threads(1)
    return go(tmp_path_factory.mktemp("made"), epochs=2)


@pytest.fixture
def finished(made: Bundle, tmp_path: Path) -> Path:
    """A folder with a run of two epochs, and its bundle."""
    return shutil.copytree(made.path.parent, tmp_path / "finished")


def test_leaves_everything_that_was_promised(finished: Path) -> None:
    found = sorted(path.name for path in finished.iterdir())
    assert found == ["bundle", "checkpoint.pt", "curves.png", "metrics.jsonl"]
    manifest = Bundle.load(finished / "bundle").manifest
    assert manifest.name == "tints-front3-back1"
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert manifest.metrics["curves"] == rows
    assert manifest.metrics["training"]["learning_rate"] == 0.05
    assert manifest.metrics["images"] == len(DATASET.test)


def test_the_bundle_is_as_good_as_its_manifest_says(made: Bundle) -> None:
    """Through ONNX Runtime; a rounding may tip one image."""
    x = DATASET.preprocess.normalize(DATASET.test.images)
    for role in ("head", "body", "tail"):
        x = made.engine(role).run(x)
    correct = int((x.argmax(1) == DATASET.test.targets).sum())
    assert abs(correct - made.manifest.metrics["accuracy"] * len(DATASET.test)) <= 1


def test_prints_what_is_cut_and_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uplink = BoundaryOptions(bits=4, dead_zone=0.5)
    bundle = go(tmp_path, config={"uplink": uplink, "plan": SplitPlan(3, 0)})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("MobileNetV2, ")
    assert [" ".join(line.split()) for line in lines[1:6]] == [
        "head stem .. block2",
        "body block3 .. classifier",
        "tail none",
        "uplink 8x8x8, keep 1, 4 bits, dead zone 0.5, 2,048 B as float32",
        "downlink 4, off, 16 B as float32",
    ]
    assert lines[6].startswith("epoch   1/1 ")
    metrics = bundle.manifest.metrics
    assert lines[7] == f"accuracy {100 * metrics['accuracy']:.2f} % on 40 test images"
    assert lines[8].startswith(f"uplink   {metrics['uplink_bytes']:.0f} B mean, ")
    assert str(bundle.path) in lines[-1]


def test_resuming_a_finished_run_makes_the_same_bundle(
    finished: Path, made: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(finished / "bundle")
    assert go(finished, epochs=2, resume=True).digest == made.digest
    assert "resumed after epoch 2 of 2" in capsys.readouterr().out


def test_overwriting_starts_anew(finished: Path, made: Bundle) -> None:
    bundle = go(finished, epochs=1)
    assert len((finished / "metrics.jsonl").read_text().splitlines()) == 1
    assert bundle.digest != made.digest


def test_what_was_overwritten_cannot_be_resumed(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in its first epoch, the new run must not continue as the old one."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.train, "evaluate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        go(finished, epochs=2)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        go(finished, epochs=2, resume=True)


def test_starts_from_given_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = make_model(seed=9)
    path = tmp_path / "weights.pth"
    torch.save({torchvision_name(name): t for name, t in given.state_dict().items()}, path)
    at_the_start = []

    def look(self: trainer.train.Trainer) -> None:
        at_the_start.append(self.network.state_dict()["head.stem.0.weight"].clone())
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.train.Trainer, "run", look)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "run", weights=path)
    assert torch.equal(at_the_start[0], given.state_dict()["layers.stem.0.weight"])
    assert "weights  314 tensors from " in capsys.readouterr().out


def test_layers_of_a_mean_are_not_frozen(tmp_path: Path, made: Bundle) -> None:
    state = load_checkpoint(made.path.parent / "checkpoint.pt")
    save_checkpoint(tmp_path / "mean.pt", state | {"averaged": True})
    with pytest.raises(WeightsError, match=r"mean\.pt is a mean of trainings.* train from it first, without"):
        go(tmp_path / "run", weights=tmp_path / "mean.pt", config={"freeze": 3})
    go(tmp_path / "run", weights=tmp_path / "mean.pt")
    save_checkpoint(tmp_path / "run.pt", state)
    go(tmp_path / "frozen", weights=tmp_path / "run.pt", config={"freeze": 3})


def test_weights_that_do_not_fit_leave_the_run_as_it_was(finished: Path, tmp_path: Path) -> None:
    torch.save({"features.0.0.weight": torch.zeros(1)}, tmp_path / "weights.pth")
    before = (finished / "checkpoint.pt").read_bytes()
    with pytest.raises(WeightsError):
        go(finished, weights=tmp_path / "weights.pth")
    assert (finished / "checkpoint.pt").read_bytes() == before


def test_a_bundle_elsewhere(tmp_path: Path) -> None:
    bundle = go(tmp_path / "run", bundle=tmp_path / "models" / "tints")
    assert bundle.path == (tmp_path / "models" / "tints").resolve()
    assert not (tmp_path / "run" / "bundle").exists()
    assert np.isfinite(bundle.manifest.metrics["loss"])


def test_a_teacher_that_knows_other_classes_is_none(made: Bundle, tmp_path: Path) -> None:
    labels = DATASET.labels
    strangers = replace(DATASET, labels=(labels[0], "another", *labels[2:]))
    config = make_config(epochs=1, distill_weight=0.5)
    with pytest.raises(
        WeightsError, match=f"{made.path} knows other classes: '{labels[1]}' where the student has 'another'"
    ):
        run(config, strangers, folder=tmp_path, bundle=tmp_path / "bundle", teacher=made.path, progress=False)
    plain = go(tmp_path / "plain", config={"uplink": BoundaryOptions(bits=4)})
    go(tmp_path / "student", config={"distill_weight": 0.5}, teacher=plain.path)


def test_a_teacher_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no teacher: .* no bundle at"):
        go(tmp_path, config={"distill_weight": 0.5}, teacher=tmp_path)


@pytest.mark.parametrize(("epochs", "kept"), [(1, 1), (2, 2), (400, 400), (401, 400), (5000, 400)])
def test_a_manifest_has_room_for_any_number_of_epochs(epochs: int, kept: int) -> None:
    rows = [{"epoch": i + 1, "seconds": 0.5} for i in range(epochs)]
    history = _history(rows)
    curves = history["curves"]
    assert isinstance(curves, list)
    assert (len(curves), curves[0], curves[-1]) == (kept, rows[0], rows[-1])
    assert history["seconds"] == epochs / 2
