import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import trainer.train
from splitwire.errors import CheckpointError, ConfigError
from splitwire.plan import SplitPlan
from tests.trainer.networks import (
    make_config,
    make_dataset,
    make_model,
    same_bits,
    tensors,
)
from trainer.checkpoint import load_checkpoint, save_checkpoint
from trainer.config import BoundaryOptions
from trainer.data.dataset import Dataset
from trainer.distill import Teacher
from trainer.evaluate import Evaluation
from trainer.train import Trainer
from trainer.weights import torchvision_name

DATASET = make_dataset()


def make(
    folder: Path, *, dataset: Dataset = DATASET, teacher: Teacher | None = None, **changes: Any
) -> Trainer:
    return Trainer(make_config(**changes), dataset, folder, progress=False, teacher=teacher)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch, for tests that copy it."""
    folder = tmp_path_factory.mktemp("trained")
    torch.set_num_threads(1)
    make(folder, epochs=1).run()
    return folder


@pytest.fixture
def finished(trained: Path, tmp_path: Path) -> Path:
    """A folder with a run of one epoch."""
    return shutil.copytree(trained, tmp_path / "finished")


def interrupt_after(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C right behind that epoch's checkpoint."""

    def save(path: Path, state: dict[str, Any]) -> None:
        save_checkpoint(path, state)
        if len(state["metrics"]) == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer.train, "save_checkpoint", save)


def rows(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl, without what no two runs share."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(line.pop("seconds") > 0 for line in lines)
    return lines


def assert_same_state(a: Trainer, b: Trainer) -> None:
    for one, other in ((a.network, b.network), (a.optimizer, b.optimizer)):
        expected = tensors(other.state_dict())
        for name, tensor in tensors(one.state_dict()).items():
            assert same_bits(tensor.float(), expected[name].float()), name


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "bf16": True,
            "channels_last": True,
            "checkpoint_mode": "always",
            "plan": SplitPlan(5, 0),
            "calibration_epochs": 1,
            "label_smoothing": 0.1,
        },
        {
            "uplink": BoundaryOptions(bits=4, dead_zone=0.5, ranges="learned", gradient_bits=3),
            "downlink": BoundaryOptions(keep=0.3, bits=3, ranges="learned", gradient_bits=8),
            "uncompressed_epochs": 1,
            "anneal_epochs": 1,
            "rate_weight": 0.5,
            "rate_target": 100.0,
            "checkpoint_mode": "except_last",
        },
        {
            "freeze": 4,
            "optimizer": "muon",
            "layer_rates": (1.0, 0.6, 0.4),
            "mixup": 0.5,
            "crop_area": 0.5,
            "checkpoint_mode": "always",
        },
    ],
    ids=["plain", "all options", "schedule", "frozen"],
)
def test_interrupted_after_every_epoch_is_as_never_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    whole = make(tmp_path / "whole", **options)
    expected = whole.run()
    folder = tmp_path / "interrupted"
    run = make(folder, **options)
    for epochs in (1, 2, 3):
        interrupt_after(epochs, monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            run.run()
        run = make(folder, **options)
        run.resume()
        assert len(run.metrics) == len(rows(folder)) == epochs, "also of the epoch that was cut off"
        assert (folder / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert run.run() == expected
    assert_same_state(run, whole)
    assert rows(folder) == rows(tmp_path / "whole")


def test_leaves_a_row_an_epoch(tmp_path: Path) -> None:
    run = make(tmp_path, epochs=2)
    result = run.run()
    found = rows(tmp_path)
    assert [row["epoch"] for row in found] == [1, 2]
    assert set(found[0]) == {
        "epoch",
        "learning_rate",
        "train_loss",
        "train_accuracy",
        "test_loss",
        "test_accuracy",
        "uplink_bytes",
        "downlink_bytes",
    }
    assert found[-1]["test_accuracy"] == result.accuracy, "evaluated alike, at the end and after an epoch"
    assert (found[-1]["uplink_bytes"], found[-1]["downlink_bytes"]) == (
        result.uplink_bytes,
        result.downlink_bytes,
    )
    assert isinstance(result, Evaluation)
    assert result.images == len(DATASET.test)


def test_evaluates_as_seldom_as_it_is_told(tmp_path: Path) -> None:
    """The weights are the same; after the last epoch there is one in any case."""
    often, seldom = make(tmp_path / "often", epochs=3), make(tmp_path / "seldom", epochs=3, evaluate_every=2)
    assert seldom.run() == often.run()
    assert_same_state(seldom, often)
    found = rows(tmp_path / "seldom")
    assert [row["epoch"] for row in found if "test_accuracy" in row] == [2, 3]
    assert found[1:] == rows(tmp_path / "often")[1:]


def test_learns(tmp_path: Path) -> None:
    """Tints that a linear classifier could tell, through both boundaries: chance is 25 %."""
    config = make_config(epochs=6, batch_size=16)
    result = Trainer(config, make_dataset(train=96, test=24), tmp_path, progress=False).run()
    assert result.accuracy > 0.6
    assert rows(tmp_path)[-1]["test_loss"] < rows(tmp_path)[0]["test_loss"]


def test_the_seed_decides(tmp_path: Path) -> None:
    def first(name: str, seed: int) -> Trainer:
        run = make(tmp_path / name, epochs=1, seed=seed)
        run.run()
        return run

    one, again, other = first("one", 0), first("again", 0), first("other", 1)
    assert_same_state(one, again)
    assert rows(tmp_path / "one") != rows(tmp_path / "other")
    assert not same_bits(*(run.network.state_dict()["head.stem.0.weight"] for run in (one, other)))


def test_scales_are_renewed_and_then_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scales = []

    def save(path: Path, state: dict[str, Any]) -> None:
        scales.append(state["network"]["uplink.scale"].clone())

    monkeypatch.setattr(trainer.train, "save_checkpoint", save)
    make(tmp_path, epochs=3, calibration_epochs=2).run()
    assert not same_bits(scales[0], scales[1])
    assert same_bits(scales[1], scales[2])


def test_the_downlinks_first_scales_are_of_what_a_calibrated_uplink_lets_through(tmp_path: Path) -> None:
    """BatchNorm behind the uplink had been estimated while its scales were all 1."""
    run = make(tmp_path, uplink=BoundaryOptions(bits=2), downlink=BoundaryOptions(bits=4))
    run._enter(0)
    first = [boundary.scale.clone() for boundary in run.network.boundaries]
    run.calibration.batch_norm()
    run.calibration.scales()
    for scale, boundary in zip(first, run.network.boundaries, strict=True):
        torch.testing.assert_close(scale, boundary.scale, rtol=1e-5, atol=0)


def test_each_stage_has_scales_of_its_own_also_after_they_are_frozen(tmp_path: Path) -> None:
    """Weights stand still here, so the uplink's scales differ as clip and steps of the widths do."""
    run = make(
        tmp_path,
        epochs=5,
        uncompressed_epochs=1,
        anneal_epochs=2,
        calibration_epochs=1,
        uplink=BoundaryOptions(bits=2, clip=4.0),
        downlink=BoundaryOptions(),
    )
    scales, widths = [], []
    for epoch in range(5):
        run._enter(epoch)
        widths.append(run.network.uplink.spec.bits)
        scales.append(run.network.uplink.scale.clone())
    assert widths == [32, 8, 5, 2, 2]
    assert bool((scales[0] == 1).all()), "nothing to calibrate"
    torch.testing.assert_close(scales[2], scales[1] * 128 / 16, rtol=1e-3, atol=0)
    torch.testing.assert_close(scales[3], scales[1] * 128 / 2, rtol=1e-3, atol=0)
    assert same_bits(scales[4], scales[3]), "frozen"


def test_learned_scales_are_calibrated_once(tmp_path: Path) -> None:
    learned = BoundaryOptions(keep=0.3, bits=8, ranges="learned")
    run = make(tmp_path, epochs=4, anneal_epochs=2, uplink=learned, downlink=learned)
    run._enter(0)
    with torch.no_grad():
        run.network.uplink.scale.mul_(1.5)
    learnt = run.network.uplink.scale.detach().clone()
    for epoch in (1, 2, 3):
        run._enter(epoch)
        assert same_bits(run.network.uplink.scale, learnt)


def test_learned_scales_move(tmp_path: Path) -> None:
    run = make(tmp_path, epochs=1, uplink=BoundaryOptions(bits=4, ranges="learned"))
    run._enter(0)
    before = run.network.uplink.scale.detach().clone()
    run.run()
    assert not same_bits(run.network.uplink.scale, before)


def test_rows_say_with_which_boundaries_they_were_measured(tmp_path: Path) -> None:
    run = make(tmp_path, epochs=3, uncompressed_epochs=1, anneal_epochs=1)
    result = run.run()
    found = [(row["uplink_keep"], row["uplink_bits"], row["downlink_bits"]) for row in rows(tmp_path)]
    assert found == [(1.0, 32, 32), (1.0, 8, 8), (0.5, 4, 4)]
    raw = run.network.downlink.spec.raw_bytes
    assert rows(tmp_path)[0]["downlink_bytes"] > raw / 2 > 2 * result.downlink_bytes
    assert rows(tmp_path)[-1]["downlink_bytes"] == result.downlink_bytes


def test_estimating_statistics_is_no_step_whose_rate_counts(tmp_path: Path) -> None:
    run = make(tmp_path, rate_weight=1.0)
    run.network.set_rate_weight(1.0)
    run.calibration.batch_norm()
    assert run.network.update_rates() == 0.0


def test_statistics_are_the_weights_own_at_every_evaluation(finished: Path) -> None:
    run = make(finished, epochs=1)
    run.resume()
    before = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    run.calibration.batch_norm()
    for name, tensor in run.network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 5}, r"--seed \d+ \(now 5\)"),
        (
            {"plan": SplitPlan(4, 1), "learning_rate": 0.01},
            r"--edge-front 3 \(now 4\), --lr [0-9.]+ \(now 0.01\)",
        ),
        ({"uplink": BoundaryOptions(keep=0.5, bits=5)}, r"--uplink-[a-z]+ .* \(now .*\)"),
    ],
)
def test_resuming_with_other_options_names_them(finished: Path, changes: dict[str, Any], named: str) -> None:
    other = make(finished, epochs=1, **changes)
    with pytest.raises(CheckpointError, match=f"was made with other options: {named}$"):
        other.resume()


def test_resuming_with_other_images_says_so(finished: Path) -> None:
    other = make(finished, dataset=make_dataset(seed=5), epochs=1)
    with pytest.raises(CheckpointError, match=r"was made with other images$"):
        other.resume()


def test_resuming_with_another_teacher_says_so(tmp_path: Path) -> None:
    files = []
    for seed in (1, 2):
        files.append(tmp_path / f"{seed}.pth")
        state = {torchvision_name(name): t for name, t in make_model(seed=seed).state_dict().items()}
        torch.save(state, files[-1])

    def with_teacher(file: Path) -> Trainer:
        teacher = Teacher(file, labels=DATASET.labels, preprocess=DATASET.preprocess, bf16=False)
        return make(tmp_path / "run", epochs=1, distill_weight=0.5, teacher=teacher)

    with_teacher(files[0]).run()
    with pytest.raises(CheckpointError, match=r"was made with another teacher$"):
        with_teacher(files[1]).resume()
    files[0].rename(tmp_path / "moved.pth")
    with_teacher(tmp_path / "moved.pth").resume()


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        make(tmp_path).resume()


@pytest.mark.parametrize(
    "changes",
    [
        {"config": None},
        {"config": "not JSON"},
        {"config": "[]"},
        {"network": {}},
        {"network": {"stem": "weights"}},
        {"network": 3},
        {"optimizer": {}},
        {"optimizer": {"state": {}, "param_groups": []}},
        {"metrics": 7},
        {"metrics": ["not JSON"]},
    ],
    ids=str,
)
def test_a_checkpoint_of_something_else(finished: Path, changes: dict[str, Any]) -> None:
    path = finished / "checkpoint.pt"
    state = load_checkpoint(path)
    for broken in (state | changes, {name: state[name] for name in state if name not in changes}):
        torch.save(broken, path)
        with pytest.raises(CheckpointError, match=str(path)):
            make(finished, epochs=1).resume()


def test_a_data_set_with_other_classes(finished: Path) -> None:
    other = replace(DATASET, labels=(*DATASET.labels, "one more"))
    with pytest.raises(CheckpointError, match="was made with other images"):
        Trainer(make_config(epochs=1), other, finished, progress=False).resume()


def test_fewer_images_than_a_batch(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^batch-size 64 is more than the 32 training images$"):
        make(tmp_path, batch_size=64)


def test_a_loss_that_explodes_ends_the_run(tmp_path: Path) -> None:
    run = make(tmp_path, learning_rate=1e30, warmup_epochs=0)
    with pytest.raises(ConfigError, match=r"the loss became (nan|inf): a lower learning rate may help"):
        run.run()
    assert not (tmp_path / "metrics.jsonl").exists()


def test_weights_that_explode_in_the_last_step_end_the_run(tmp_path: Path) -> None:
    """Of which no loss tells: an epoch of one step, whose evaluation is as bad as chance, but finite."""
    run = make(tmp_path, learning_rate=1e30, warmup_epochs=0, batch_size=32, epochs=1)
    with pytest.raises(ConfigError, match=r"became infinite, or no number: a lower learning rate may help"):
        run.run()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot use the folder"):
        make(tmp_path / "file" / "run").run()


@pytest.mark.parametrize("name", ["metrics.jsonl", "curves.png"])
def test_results_that_cannot_be_written(finished: Path, name: str) -> None:
    (finished / name).unlink()
    (finished / name).mkdir()
    with pytest.raises(CheckpointError, match=f"cannot write .*{name}"):
        make(finished, epochs=1).resume()
    (finished / name).rmdir()
    make(finished, epochs=1).resume()
    assert [row["epoch"] for row in rows(finished)] == [1], "the checkpoint had it"
