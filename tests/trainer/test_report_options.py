import pytest

from splitwire.errors import ConfigError
from trainer.report.options import ReportOptions, read_options

SPLIT = "--edge-front 3 --edge-back 1 --out x"


def test_what_stands_before_and_behind() -> None:
    options = read_options(f"scratch --seed 0 2 --jobs 3 --scratch-lr 0.1 -- {SPLIT}".split())
    assert options == ReportOptions("scratch", (0, 2), 3, 0.1, tuple(SPLIT.split()))


def test_defaults() -> None:
    assert read_options(["layer-lr"]) == ReportOptions("layer-lr", (0,), 1, None, ())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("layer-lr --epochs 3 -- --out x", "--epochs is an option of the trainings: it stands behind --"),
        ("layer-lr --out=x", "--out is an option of the trainings"),
        ("layer-lr -- --seed 1", "--seed is an option of the report: it stands before --"),
        ("scratch -- --scratch-lr=1", "--scratch-lr is an option of the report"),
        ("layer-lr -- --resume", "--resume cannot be given: a report decides it for each training"),
        ("layer-lr -- --bundle=x", "--bundle cannot be given: a report"),
        ("teacher --scratch-lr 0.1 --", "--scratch-lr is of the report scratch, not of teacher"),
        ("scratch --scratch-lr 0 --", "scratch-lr must be above 0, got 0"),
        ("scratch --scratch-lr nan --", "scratch-lr must be above 0, got nan"),
    ],
)
def test_mistakes(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_options(line.split())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "the following arguments are required: comparison"),
        ("layers --", "argument comparison: invalid choice: 'layers'"),
        ("teacher --seed --", "argument --seed: expected at least one argument"),
        ("teacher --seeds 1 --", "unrecognized arguments: --seeds 1"),
    ],
)
def test_mistakes_that_the_parser_finds(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read_options(line.split())
    assert ended.value.code == 2
    assert f"trainer report: error: {message}" in capsys.readouterr().err


def test_help_names_the_comparisons(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read_options(["--help"])
    assert ended.value.code == 0
    page = capsys.readouterr().out
    assert "usage: trainer report {layer-lr,scratch,teacher}" in page
    assert all(name in page for name in ("--seed", "--jobs", "--scratch-lr", "curves.csv"))
    assert all(len(line) <= 112 for line in page.splitlines())
