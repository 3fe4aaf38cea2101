import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import Tensor

from splitwire.errors import CheckpointError, ConfigError, WeightsError
from splitwire.plan import SplitPlan
from tests.trainer.networks import make_config, make_dataset, make_images, make_model, make_network
from trainer.average import average
from trainer.checkpoint import load_checkpoint, save_checkpoint
from trainer.config import Bottleneck, BoundaryOptions
from trainer.distill import Teacher
from trainer.record import read_record
from trainer.weights import load_weights

PLAN = SplitPlan(3, 1)
LABELS, PREPROCESS = tuple("abcd"), make_dataset().preprocess


def write_run(
    path: Path, seed: int, *, bits: int = 4, bottleneck: str | None = "4/2", width: float = 0.1
) -> Path:
    options = BoundaryOptions(
        bits=bits, bottleneck=None if bottleneck is None else Bottleneck.parse(bottleneck)
    )
    torch.manual_seed(seed)
    network = make_network(PLAN, uplink=options, model=make_model(seed=seed, width=width))
    config = json.dumps(asdict(make_config(plan=PLAN, uplink=options)))
    save_checkpoint(path, {"network": network.state_dict(), "config": config, "metrics": []})
    return path


@torch.no_grad()
def answers(path: Path, options: BoundaryOptions, images: Tensor) -> Tensor:
    """Of a network that begins from `path`."""
    network = make_network(PLAN, uplink=options, model=(model := make_model(seed=9)))
    load_weights(model, path, network=network)
    logits: Tensor = network(images)
    return logits


@pytest.mark.parametrize("seeds", [(1,), (1, 2), (1, 2, 3), (1, 1, 2)])
def test_weights_are_means_and_what_is_named_twice_counts_twice(
    tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    paths = [write_run(tmp_path / f"{seed}.pt", seed) for seed in seeds]
    out = tmp_path / "mean.pt"
    assert average([*map(str, paths), "--out", str(out)]) == 0
    found = load_checkpoint(out)["network"]
    runs = [load_checkpoint(path)["network"] for path in paths]
    for name in ("body.block5.conv.0.0.weight", "head.uplink_encoder.conv.3.running_var"):
        expected = sum(run[name] for run in runs) / len(runs)
        torch.testing.assert_close(found[name], expected)
    assert all(found[name].dtype == runs[0][name].dtype for name in found)


def test_a_training_begins_from_it(tmp_path: Path) -> None:
    """Trainings of unlike boundaries too: scales are no weights."""
    paths = [write_run(tmp_path / "1.pt", 1, bits=4), write_run(tmp_path / "2.pt", 1, bits=8)]
    out = tmp_path / "mean.pt"
    average([*map(str, paths), "--out", str(out)])
    options = BoundaryOptions(bottleneck=Bottleneck(4, 2))
    network = make_network(PLAN, uplink=options, model=(model := make_model(seed=9)))
    assert load_weights(model, out, network=network).bottlenecks == ("uplink",)
    teacher = Teacher(paths[0], labels=LABELS, preprocess=PREPROCESS, bf16=False)
    with torch.no_grad():
        expected = network(make_images(3))
    torch.testing.assert_close(teacher(make_images(3)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("names", "averaged"), [(("1.pt",), False), (("1.pt", "1.pt"), False), (("1.pt", "2.pt"), True)]
)
def test_statistics_of_a_mean_fit_nothing_and_are_no_teachers(
    tmp_path: Path, names: tuple[str, ...], averaged: bool
) -> None:
    paths = [write_run(tmp_path / name, int(name[0])) for name in names]
    out, again = tmp_path / "mean.pt", tmp_path / "again.pt"
    average([*map(str, paths), "--out", str(out)])
    average([str(out), "--out", str(again)])
    for path in (out, again):
        assert read_record(path).averaged == averaged
        if averaged:
            with pytest.raises(WeightsError, match=rf"{path} is a mean of trainings.*: train from it first$"):
                Teacher(path, labels=LABELS, preprocess=PREPROCESS, bf16=False)
        else:
            Teacher(path, labels=LABELS, preprocess=PREPROCESS, bf16=False)


def test_a_file_of_before_there_was_a_mark_is_taken(tmp_path: Path) -> None:
    out = tmp_path / "mean.pt"
    average([str(write_run(tmp_path / f"{seed}.pt", seed)) for seed in (1, 2)] + ["--out", str(out)])
    state = load_checkpoint(out)
    del state["averaged"]
    save_checkpoint(out, state)
    Teacher(out, labels=LABELS, preprocess=PREPROCESS, bf16=False)


def test_blocks_that_a_run_lacks_are_the_identity_there(tmp_path: Path) -> None:
    """The mean of a network with itself, given blocks that have learned nothing yet, is that network."""
    bare = write_run(tmp_path / "bare.pt", 1)
    options = BoundaryOptions(bottleneck=Bottleneck.parse("4/2/1/2"))
    network = make_network(PLAN, uplink=options, model=(model := make_model(seed=9)))
    load_weights(model, bare, network=network)
    refined = tmp_path / "refined.pt"
    config = json.dumps(asdict(make_config(plan=PLAN, uplink=options)))
    save_checkpoint(refined, {"network": network.state_dict(), "config": config, "metrics": []})
    out, images = tmp_path / "mean.pt", make_images(3)
    for paths in ((refined, bare), (bare, refined)):
        average([*map(str, paths), "--out", str(out), "--overwrite"])
        mean, alone = (answers(path, options, images) for path in (out, bare))
        torch.testing.assert_close(mean, alone, rtol=1e-4, atol=1e-4)
    weight = "body.uplink_decoder.refining0.conv.3.weight"
    learned = {**network.state_dict(), weight: torch.ones_like(network.state_dict()[weight])}
    save_checkpoint(refined, {"network": learned, "config": config, "metrics": []})
    average([str(refined), str(bare), "--out", str(out), "--overwrite"])
    assert (load_checkpoint(out)["network"][weight] == 0.5).all()


@pytest.mark.parametrize(
    ("other", "expected"),
    [({"width": 0.35}, "has another shape"), ({"bottleneck": None}, "only one has .*uplink_")],
)
def test_networks_that_differ_are_refused(tmp_path: Path, other: dict[str, object], expected: str) -> None:
    a, b = write_run(tmp_path / "a.pt", 1), write_run(tmp_path / "b.pt", 2, **other)  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match=f"a.pt and .*b.pt are not of the same network: .*{expected}"):
        average([str(a), str(b), "--out", str(tmp_path / "mean.pt")])
    assert not (tmp_path / "mean.pt").exists()


def test_what_is_there_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    run, out = write_run(tmp_path / "a.pt", 1), write_run(tmp_path / "mean.pt", 2)
    before = out.read_bytes()
    with pytest.raises(CheckpointError, match=r"mean\.pt is there already: --overwrite"):
        average([str(run), "--out", str(out)])
    assert out.read_bytes() == before
    average([str(run), "--out", str(out), "--overwrite"])
    assert out.read_bytes() != before


@pytest.mark.parametrize("content", [None, {}, {"network": {}}, {"network": {"head.stem": "a"}}])
def test_what_is_no_run_is_refused(tmp_path: Path, content: dict[str, object] | None) -> None:
    path = tmp_path / "run.pt"
    if content is not None:
        save_checkpoint(path, content)
    with pytest.raises(WeightsError, match=r"run\.pt"):
        average([str(path), "--out", str(tmp_path / "mean.pt")])


def test_the_file_written_is_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.pt"):
        average([str(write_run(tmp_path / "a.pt", 1)), "--out", str(tmp_path / "mean.safetensors")])


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_run_that_diverged_is_refused(tmp_path: Path, value: float) -> None:
    path, out = write_run(tmp_path / "a.pt", 1), tmp_path / "mean.pt"
    state = load_checkpoint(path)
    state["network"]["tail.classifier.1.bias"][1] = value
    save_checkpoint(path, state)
    with pytest.raises(
        WeightsError, match=r"a\.pt cannot be averaged: .*tail\.classifier\.1\.bias are finite"
    ):
        average([str(path), "--out", str(out)])
    assert not out.exists()
