"""A sweep as its user runs it: real trainings, interrupted and continued."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from splitwire.bundle import Bundle
from tests.e2e.processes import PATIENCE, ROOT
from tests.e2e.training import ENVIRONMENT, make_photos, metrics, run_to_end, wait_until

CELLS = ("edge-back-1_seed-0", "edge-back-1_seed-1")
AXES = ("--edge-back", "1", "--seed", "0", "1")


def command(axes: tuple[str, ...], *common: str | Path) -> list[str]:
    return [sys.executable, "-m", "trainer", "sweep", *axes, "--", "--edge-front", "3", *map(str, common)]


def sweep(axes: tuple[str, ...], *common: str | Path) -> "subprocess.CompletedProcess[str]":
    return run_to_end(command(axes, *common))


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return (*make_photos(tmp_path_factory.mktemp("photos")), "--threads", "1")


@pytest.fixture(scope="module")
def whole(options: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nothing interrupted, two trainings at a time."""
    out = tmp_path_factory.mktemp("whole")
    done = sweep((*AXES, "--jobs", "2"), *options, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "accuracy %" in done.stdout
    return out


def test_every_cell_ends_with_a_bundle_and_a_line(whole: Path) -> None:
    found = rows(whole)
    assert [row["cell"] for row in found] == list(CELLS)
    for row in found:
        measured = Bundle.load(whole / row["cell"] / "bundle").manifest.metrics
        assert row["accuracy"] == measured["accuracy"]
        assert row["config"] == measured["training"]
        assert "epoch   4/4" in (whole / row["cell"] / "train.log").read_text()
    assert (whole / "sweep.png").stat().st_size > 1000


def test_a_finished_sweep_is_shown_and_not_trained_again(whole: Path, options: tuple[str, ...]) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.glob("*/*")}
    done = sweep(AXES, *options, "--out", whole)
    assert done.returncode == 0, done.stderr
    assert "2 trainings in" in done.stdout
    assert "0 not finished" in done.stdout
    assert "accuracy %" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in whole.glob("*/*")} == before


def test_modules_where_the_user_stands_are_not_imported(tmp_path: Path, options: tuple[str, ...]) -> None:
    for name in ("random.py", "trainer.py"):
        (tmp_path / name).write_text("raise SystemExit('not meant')")
    words = command(("--seed", "0"), "--edge-back", "1", *options, "--epochs", "1", "--out", tmp_path / "out")
    done = run_to_end([words[0], "-P", *words[1:]], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "out")) == 1


def test_another_grid_is_refused(whole: Path, options: tuple[str, ...]) -> None:
    done = sweep(AXES, *options, "--epochs", "5", "--out", whole)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{CELLS[0]} was made with other options: --epochs " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_interrupted_it_continues_to_the_same_end(
    tmp_path: Path, whole: Path, options: tuple[str, ...], number: signal.Signals
) -> None:
    out = tmp_path / "out"
    first, second = (out / cell for cell in CELLS)
    with subprocess.Popen(
        command(AXES, *options, "--out", out), cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until((first / "metrics.jsonl").exists, process)
        process.send_signal(number)
        _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert "Traceback" not in error
    wait_for_the_end_of_its_child(first)
    done_before = len(metrics(first))
    assert 1 <= done_before < 4
    assert not second.exists()
    done = sweep(AXES, *options, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "resumed  edge-back 1, seed 0" in done.stdout
    assert f"resumed after epoch {done_before} of 4" in (first / "train.log").read_text()
    for cell in CELLS:
        assert metrics(out / cell) == metrics(whole / cell)
    assert [row["accuracy"] for row in rows(out)] == [row["accuracy"] for row in rows(whole)]


def wait_for_the_end_of_its_child(folder: Path) -> None:
    """It says so itself, at the end of its log."""
    deadline = time.monotonic() + 5 * PATIENCE
    while "trainer: interrupted" not in (folder / "train.log").read_text():
        assert time.monotonic() < deadline, "the training outlived its sweep"
        time.sleep(0.05)


def test_a_training_that_fails_is_reported_and_the_others_go_on(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    axes = ("--batch-size", "16", "64", "8", "--edge-back", "1")
    done = sweep(axes, *options[:6], "--width", "0.1", "--epochs", "1", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "failed   batch-size 64, edge-back 1: status 2; " in done.stderr
    assert "batch-size 64 is more than the 32 training images" in done.stderr
    assert "1 failed: batch-size 64, edge-back 1" in done.stderr
    assert [row["axes"]["batch-size"] for row in rows(tmp_path / "out")] == [16, 8]


def test_mistakes_are_one_line_and_leave_nothing(tmp_path: Path) -> None:
    done = sweep(("--edge-back", "1", "17"), "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("trainer sweep: error: edge-back 17: edge-front 3 + edge-back 17 leave")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
