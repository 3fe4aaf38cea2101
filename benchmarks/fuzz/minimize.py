"""Keep of what fuzzing found the smallest inputs that together go everywhere that all of them go.

python -m benchmarks.fuzz.minimize frames OUT/corpus
"""

import argparse
import hashlib
import importlib
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.fuzz.main import CORPUS, TARGETS

__all__ = ["main", "smallest"]

#: From one line to the next, by module.
_Steps = set[tuple[str, int, int]]


def smallest(inputs: Iterable[bytes], check: Callable[[bytes], None]) -> list[bytes]:
    """Of the inputs, shortest first, those that take a step in the kernel that none before them took."""
    seen: _Steps = set()
    kept = []
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        steps = _steps(check, data)
        if not steps <= seen:
            seen |= steps
            kept.append(data)
    return kept


def _steps(check: Callable[[bytes], None], data: bytes) -> _Steps:
    steps: _Steps = set()

    def on_call(frame: FrameType, _: str, __: Any) -> Any:
        name = frame.f_globals.get("__name__", "")
        if not name.startswith("splitwire."):
            return None
        last = frame.f_lineno

        def on_line(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            steps.add((name, last, -1 if event == "return" else frame.f_lineno))
            last = frame.f_lineno
            return on_line

        return on_line

    sys.settrace(on_call)
    try:
        check(data)
    finally:
        sys.settrace(None)
    return steps


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "benchmarks.fuzz.minimize", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument(
        "found", type=Path, metavar="DIR", help="what fuzzing found; is joined with the corpus"
    )
    options = parser.parse_args(arguments)
    target, corpus = importlib.import_module(f"benchmarks.fuzz.{options.target}"), CORPUS / options.target
    inputs = [path.read_bytes() for folder in (corpus, options.found) for path in folder.glob("*")]
    kept = smallest(inputs, target.check)
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True)
    for data in kept:
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    print(f"{options.target}: of {len(inputs)} inputs {len(kept)} kept, {sum(map(len, kept)):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
