"""Logs on stderr, for people or for machines: a line of text, or one JSON object a line (RFC 8259).

Records that are made while a request is worked on name it. Whatever a record's `fields` hold becomes members
of its JSON object; its text says the same by itself.
"""

import json
import logging
import sys
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime

from splitwire.trace import CURRENT

__all__ = ["LOG_FORMATS", "JsonFormatter", "TextFormatter", "announce", "configure", "on_one_line"]

LOG_FORMATS = ("text", "json")

#: An explanation may repeat what a client sent, which must not choose how long it is.
_LONGEST = 500


class TextFormatter(logging.Formatter):
    """PROGRAM: MESSAGE (request ID); at level debug also the traceparent, where there is one."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        members = _request_members()
        if record.levelno > logging.DEBUG:
            members.pop("traceparent", None)
        origin = ", ".join(f"{name} {value}" for name, value in members.items())
        return f"{self._program}: {record.message}" + (f" ({origin})" if origin else "")


class JsonFormatter(logging.Formatter):
    """time (RFC 3339, UTC), level, logger, message; request, traceparent and exception where known."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        members: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        members |= _request_members()
        fields = getattr(record, "fields", None)
        if isinstance(fields, Mapping):
            members |= {name: value for name, value in fields.items() if value is not None}
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return json.dumps(members, default=str)


def configure(program: str, *, level: str, form: str) -> None:
    """Send all logs of this process to stderr. level: one of LOG_LEVELS. form: one of LOG_FORMATS.

    What libraries warn of is left out, unless `python -W` asks for it: it is for whoever writes programs, in
    no form, and a file with a hundred thousand odd tags has Pillow warn of each.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(program, form))
    logging.basicConfig(handlers=[handler], level=level.upper())


def announce(program: str, message: str, *, form: str) -> None:
    """A line on stderr whatever the level, since somebody waits for it."""
    record = logging.LogRecord(program, logging.INFO, "", 0, message, None, None)
    print(_formatter(program, form).format(record), file=sys.stderr, flush=True)


def on_one_line(text: str) -> str:
    """At most 500 characters of it, those that are not printed as Python escapes them: no line is forged."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:_LONGEST])[:_LONGEST]


def _formatter(program: str, form: str) -> logging.Formatter:
    return JsonFormatter() if form == "json" else TextFormatter(program)


def _request_members() -> dict[str, str]:
    trace = CURRENT.get()
    if trace is None:
        return {}
    members = {"request": trace.request_id, "traceparent": trace.parent and str(trace.parent)}
    return {name: value for name, value in members.items() if value}
