from dataclasses import dataclass

import pytest

from splitwire import __version__
from splitwire.command_line import Parser, take


def parser() -> Parser:
    parser = Parser("program", "First line.\n\n  indented", "last")
    parser.add_argument("--number", type=int)
    return parser


def test_a_mistake_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(["--number", "x"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "program: error: argument --number: invalid int value: 'x' (see program --help)\n"
    )


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"program {__version__}\n"


def test_help_keeps_the_lines_of_its_texts() -> None:
    assert "First line.\n\n  indented\n" in parser().format_help()


def test_options_are_not_abbreviated() -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--num", "1"])


@dataclass(frozen=True)
class _Pair:
    left: int
    right: str | None


def test_a_value_takes_its_fields_and_leaves_the_others() -> None:
    options = {"left": 1, "middle": 2, "right": None}
    assert take(_Pair, options) == _Pair(1, None)
    assert options == {"middle": 2}
