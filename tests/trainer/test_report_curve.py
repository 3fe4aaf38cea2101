import csv
from pathlib import Path

import pytest

from splitwire.errors import CheckpointError
from tests.trainer.reports import make_curve, make_pair, put_metrics
from trainer.report.curve import read_curve, write_curves


def test_what_a_run_left(tmp_path: Path) -> None:
    result = make_pair(3, 0.75, 0.5)[0]
    put_metrics(tmp_path, result)
    curve = read_curve(tmp_path, result)
    assert (curve.variant, curve.seed) == ("layer-wise", 3)
    assert curve.epochs[1] == {"train_loss": 1.5, "test_accuracy": 0.75}
    assert curve.of("train_loss") == {1: 1.5, 2: 0.75}
    assert curve.of("uplink_bytes") == {}


@pytest.mark.parametrize("content", [None, "{", "[]\n", "{}\n", '{"epoch": 1, "train_loss": "much"}\n'])
def test_what_no_run_left(tmp_path: Path, content: str | None) -> None:
    result = make_pair(0, 0.5, 0.5)[0]
    (tmp_path / result.cell).mkdir()
    if content is not None:
        (tmp_path / result.cell / "metrics.jsonl").write_text(content)
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl does not say how a training went"):
        read_curve(tmp_path, result)


def test_a_row_for_each_epoch(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    write_curves(path, [make_curve("one-rate", 0, [None, 0.5]), make_curve("one-rate", 1, [0.25])])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["variant"], row["seed"], row["epoch"], row["test_accuracy"]) for row in rows] == [
        ("one-rate", "0", "1", ""),
        ("one-rate", "0", "2", "0.5"),
        ("one-rate", "1", "1", "0.25"),
    ]
    assert [row["train_loss"] for row in rows] == ["2.0", "1.0", "2.0"]
