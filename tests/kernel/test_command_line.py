import gc
from dataclasses import dataclass

import pytest

from splitwire import __version__
from splitwire.address import Address
from splitwire.command_line import Parser, add_watching, spare_imports, take


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


@pytest.mark.parametrize(
    ("arguments", "metrics"),
    [([], None), (["--metrics"], "127.0.0.1:9464"), (["--metrics", "0.0.0.0:9"], "0.0.0.0:9")],
)
def test_metrics_are_off_and_by_themselves_on_loopback(arguments: list[str], metrics: str | None) -> None:
    watched = parser()
    add_watching(watched, Address("127.0.0.1", 9464))
    parsed = watched.parse_args(arguments)
    assert (parsed.metrics, parsed.log_format) == (metrics, "text")


def test_what_is_there_is_collected_no_more() -> None:
    spare_imports()
    assert gc.get_freeze_count() > 10_000
    assert not any(kept is parser for kept in gc.get_objects())
