import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.reports import make_pair, put_metrics
from trainer.__main__ import main
from trainer.report.main import Report
from trainer.report.options import read_options

SPLIT = ("--edge-front", "3", "--edge-back", "1")


def report(*words: str) -> Report:
    return Report(read_options(words))


def test_a_training_for_each_variant_and_seed_in_pairs() -> None:
    grid = report("layer-lr", "--seed", "0", "4", "--", *SPLIT, "--out", "runs/x").grid
    assert [cell.name for cell in grid.cells] == [
        "variant-layer-wise_seed-0",
        "variant-one-rate_seed-0",
        "variant-layer-wise_seed-4",
        "variant-one-rate_seed-4",
    ]
    assert [cell.config.seed for cell in grid.cells] == [0, 0, 4, 4]
    assert grid.out == Path("runs/x")


def test_what_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = [*make_pair(0, 0.5, 0.25), *make_pair(1, 0.75, 0.5)]
    for result in results:
        put_metrics(tmp_path, result)
    report("layer-lr", "--", *SPLIT, "--out", str(tmp_path))(tmp_path, results)
    printed = capsys.readouterr().out
    assert "layer-wise  2  62.50 ± 17.68" in printed
    assert "layer-wise - one-rate: +25.00 ± 0.00 points" in printed
    assert len((tmp_path / "curves.csv").read_text().splitlines()) == 1 + 4 * 2
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_half_a_pair_is_shown_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (_, result) = make_pair(0, 0.5, 0.25)
    put_metrics(tmp_path, result)
    report("layer-lr", "--", *SPLIT, "--out", str(tmp_path))(tmp_path, [result])
    assert "one-rate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("layer-lr -- {split}", "a report needs --out behind --"),
        ("teacher -- {split} --out {out}", "the report teacher needs --teacher"),
        ("scratch -- {split} --out {out}", "the report scratch needs --weights"),
        ("layer-lr -- {split} --out {out} --epochs 0", "seed 0: epochs must be at least 1, got 0"),
        ("layer-lr -- {split} --out {out} --calibrate x", "only with --epochs 0, which trains nothing"),
        ("layer-lr -- {split} --out {out} --threads 0", "threads must be from 1 to 1024, got 0"),
        ("layer-lr --jobs 0 -- {split} --out {out}", "jobs must be at least 1"),
        ("layer-lr --seed 1 1 -- {split} --out {out}", "these are the same training"),
        ("teacher -- {split} --out {out} --teacher {here} --distill-weight 0", "go together"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    line: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = line.format(split=" ".join(SPLIT), out=out, here=tmp_path).split()
    assert main(["report", *words]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("trainer report: error: ")
    assert message in printed.err
    assert (printed.err.count("\n"), printed.out) == (1, "")
    assert not out.exists()


def test_pyplot_and_torch_stay_out() -> None:
    code = (
        "import sys, trainer.report.main; sys.exit(bool({'matplotlib.pyplot', 'torch'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
