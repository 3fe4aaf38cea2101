import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.logs import JsonFormatter, TextFormatter, announce, on_one_line
from splitwire.trace import CURRENT, Trace, TraceParent

ROOT = Path(__file__).parents[2]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.fixture
def trace() -> Iterator[None]:
    """A request is being worked on."""
    token = CURRENT.set(Trace("r-1", given=True, parent=TraceParent.parse(PARENT)))
    yield
    CURRENT.reset(token)


def record(message: str = "hello %d", *values: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("edge.replica", level, "file", 1, message, values, None)


def test_text_is_the_program_and_the_message() -> None:
    assert TextFormatter("edge").format(record("hello %d", 5)) == "edge: hello 5"


@pytest.mark.usefixtures("trace")
def test_text_names_the_request_and_at_debug_the_trace() -> None:
    text = TextFormatter("edge")
    assert text.format(record("hello")) == "edge: hello (request r-1)"
    debug = text.format(record("hello", level=logging.DEBUG))
    assert debug == f"edge: hello (request r-1, traceparent {PARENT})"


def test_json_has_time_level_logger_and_message() -> None:
    made = record("hello %d", 5, level=logging.WARNING)
    made.created = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC).timestamp()
    assert json.loads(JsonFormatter().format(made)) == {
        "time": "2026-01-02T03:04:05.678Z",
        "level": "warning",
        "logger": "edge.replica",
        "message": "hello 5",
    }


@pytest.mark.usefixtures("trace")
def test_json_names_request_and_trace_and_takes_fields() -> None:
    made = record("hello")
    made.fields = {"status": 200, "problem": None}
    members = json.loads(JsonFormatter().format(made))
    assert (members["request"], members["traceparent"], members["status"]) == ("r-1", PARENT, 200)
    assert "problem" not in members


def test_json_has_the_traceback() -> None:
    made = record("it broke")
    try:
        raise ValueError("why")
    except ValueError:
        made.exc_info = sys.exc_info()
    assert "ValueError: why" in json.loads(JsonFormatter().format(made))["exception"]


@given(st.text())
def test_json_is_one_line_whatever_the_message(message: str) -> None:
    line = JsonFormatter().format(record("%s", message))
    assert len(line.splitlines()) == 1
    assert json.loads(line)["message"] == message


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_announcement_takes_no_notice_of_levels(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    announce("edge", "serving", form=form)
    line = capsys.readouterr().err
    assert line == "edge: serving\n" if form == "text" else json.loads(line)["message"] == "serving"
    assert re.fullmatch(r".*\n", line)


@given(st.text(max_size=2000))
def test_an_explanation_is_one_line_of_bounded_length(text: str) -> None:
    said = on_one_line(text)
    assert said.isprintable()
    assert len(said) <= 500
    assert said == text or not text.isprintable() or len(text) > 500


@pytest.mark.parametrize(("options", "lines"), [([], 0), (["-W", "always"], 1)])
def test_what_libraries_warn_of_is_left_out_unless_asked_for(options: list[str], lines: int) -> None:
    script = (
        "import warnings; from splitwire.logs import configure; "
        "configure('edge', level='info', form='json'); warnings.warn('an odd tag')"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    ran = subprocess.run(
        [sys.executable, *options, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0
    assert ran.stderr.count("an odd tag\n") == lines
