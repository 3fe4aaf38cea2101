"""Reports as their user runs them: real trainings, interrupted and continued."""

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from splitwire.bundle import Bundle
from tests.e2e.processes import PATIENCE, ROOT
from tests.e2e.training import ENVIRONMENT, finish, make_photos, metrics, run_to_end, wait_until


def command(comparison: str, *words: str | Path) -> list[str]:
    return [sys.executable, "-m", "trainer", "report", comparison, *map(str, words)]


def report(comparison: str, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    return run_to_end(command(comparison, *words), trainings=2)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def curves(out: Path) -> list[dict[str, str]]:
    with (out / "curves.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    photos = make_photos(tmp_path_factory.mktemp("photos"))
    return ("--edge-front", "3", "--edge-back", "1", *photos, "--epochs", "2", "--threads", "1")


@pytest.fixture(scope="module")
def learned(options: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a training: weights, and a teacher."""
    out = tmp_path_factory.mktemp("learned")
    done = finish(*options[4:], "--out", out)
    assert done.returncode == 0, done.stderr
    return out / "checkpoint.pt"


def test_layer_wise_rates_against_one_killed_and_continued(
    tmp_path: Path, options: tuple[str, ...], learned: Path
) -> None:
    out = tmp_path / "out"
    first, second = (out / f"variant-{variant}_seed-0" for variant in ("layer-wise", "one-rate"))
    words: tuple[str | Path, ...] = ("--", *options, "--weights", learned, "--out", out)
    with subprocess.Popen(
        command("layer-lr", *words), cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until((second / "metrics.jsonl").exists, process)
        process.send_signal(signal.SIGKILL)
        _, error = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in error
    stamp = (first / "checkpoint.pt").stat().st_mtime_ns
    done = report("layer-lr", *words)
    assert done.returncode == 0, done.stderr
    assert (first / "checkpoint.pt").stat().st_mtime_ns == stamp
    assert "started" not in done.stdout
    assert "layer-wise - one-rate: " in done.stdout
    assert [row["axes"] for row in rows(out)] == [
        {"variant": "layer-wise", "seed": 0},
        {"variant": "one-rate", "seed": 0},
    ]
    for row in rows(out):
        measured = Bundle.load(out / row["cell"] / "bundle").manifest.metrics
        assert (row["accuracy"], row["uplink_bytes"]) == (measured["accuracy"], measured["uplink_bytes"])
    assert [row["layer_rates"] for row in (r["config"] for r in rows(out))] == [[1.0, 0.6, 0.4], None]
    of_curves = [float(row["train_loss"]) for row in curves(out)]
    assert of_curves == [row["train_loss"] for folder in (first, second) for row in metrics(folder)]
    assert (out / "curves.png").stat().st_size > 1000


def test_fine_tuning_against_scratch(tmp_path: Path, options: tuple[str, ...], learned: Path) -> None:
    out = tmp_path / "out"
    words = ("--scratch-lr", "0.02", "--", *options, "--freeze", "2", "--lr", "0.01")
    done = report("scratch", *words, "--weights", learned, "--out", out)
    assert done.returncode == 0, done.stderr
    tuned, scratch = (out / f"variant-{variant}_seed-0" for variant in ("fine-tuned", "from-scratch"))
    assert "tensors from" in (tuned / "train.log").read_text()
    assert "tensors from" not in (scratch / "train.log").read_text()
    assert [row["config"]["learning_rate"] for row in rows(out)] == [0.01, 0.02]
    assert "fine-tuned - from-scratch: " in done.stdout


def test_with_a_teacher_and_without_over_two_seeds(
    tmp_path: Path, options: tuple[str, ...], learned: Path
) -> None:
    out = tmp_path / "out"
    words = ("--seed", "0", "1", "--jobs", "2", "--", *options, "--epochs", "1")
    done = report("teacher", *words, "--teacher", learned, "--out", out)
    assert done.returncode == 0, done.stderr
    assert [row["config"]["distill_weight"] for row in rows(out)] == [0.5, 0.0, 0.5, 0.0]
    assert "over 2 seeds in pairs" in done.stdout
    assert len(curves(out)) == 4


def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = report("teacher", "--", *options, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("trainer report: error: the report teacher needs --teacher")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
