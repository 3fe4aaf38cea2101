from pathlib import Path
from typing import Any

import pytest

import trainer.sweep.grid
import trainer.sweep.trainings
from splitwire.errors import WeightsError
from trainer.sweep.grid import grid_from
from trainer.sweep.trainings import Trainings

_LINE = "--seed 0 1 --jobs 2 -- --edge-front 3 --edge-back 1 --quiet"


def trainings(out: Path, *more: str) -> Trainings:
    out.mkdir(exist_ok=True)
    return Trainings(grid_from([*_LINE.split(), "--out", str(out), *more]), lambda *_: None)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a sweep that has no network, and starts nothing, would have done."""
    seen: list[str] = []

    def fetch(root: Path, **_: Any) -> Path:
        seen.append(f"fetched to {root}")
        return root / "net.pth"

    monkeypatch.setattr(trainer.sweep.grid, "published_weights", fetch)
    monkeypatch.setattr(trainer.sweep.trainings, "run_tasks", lambda *_, **__: seen.append("started"))
    return seen


def test_published_weights_are_there_before_children_could_fetch_them_at_once(
    tmp_path: Path, events: list[str]
) -> None:
    assert trainings(tmp_path / "out", "--weights", "imagenet", "--data", "d").run(0) == 0
    assert events == ["fetched to d", "started"]


def test_other_weights_are_not_fetched(tmp_path: Path, events: list[str]) -> None:
    trainings(tmp_path / "plain").run(0)
    trainings(tmp_path / "file", "--weights", "net.pth").run(0)
    assert events == ["started", "started"]


def test_weights_that_cannot_be_had_end_it_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.sweep.trainings, "run_tasks", lambda *_, **__: pytest.fail("started"))
    made = trainings(tmp_path / "out", "--weights", "imagenet", "--no-download", "--data", str(tmp_path))
    with pytest.raises(WeightsError, match="go without --no-download"):
        made.run(0)
