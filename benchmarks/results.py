"""Results for machines: JSON lines, the environment first."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.environment import Environment

__all__ = ["write_results"]


def write_results(path: Path, environment: Environment, records: Iterable[Mapping[str, Any]]) -> None:
    """One object a line, each with a "record" that says what it is; replaces the file."""
    lines = ({"record": "environment", **environment.to_json()}, *records)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
