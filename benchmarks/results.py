"""Results for machines: JSON lines, the environment first."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.environment import Environment

__all__ = ["results", "write_results"]


def write_results(path: Path, environment: Environment, records: Iterable[Mapping[str, Any]]) -> None:
    """One object a line, each with a "record" that says what it is; replaces the file."""
    with results(path, environment) as write:
        for record in records:
            write(record)


@contextmanager
def results(path: Path, environment: Environment) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """The same for records that come one by one: each is in the file at once."""
    with path.open("w", buffering=1) as file:  # by lines

        def write(record: Mapping[str, Any]) -> None:
            file.write(f"{json.dumps(record)}\n")

        write({"record": "environment", **environment.to_json()})
        yield write
