"""Coverage-guided fuzzing of what reads others' bytes; runs until something is found, or the time is up.

python -m benchmarks.fuzz frames --seconds 600
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.environment import Environment
from benchmarks.fuzz.guard import Guard

__all__ = ["CORPUS", "TARGETS", "main"]

TARGETS = ("frames", "packing", "manifests")

#: What was found in earlier runs, a folder for each target.
CORPUS = Path(__file__).parents[2] / "tests" / "fuzz_corpus"

#: Longer inputs find no more, and take longer.
_MAX_BYTES = 4096


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    try:
        import atheris
    except ImportError:
        print("benchmarks.fuzz: error: it needs atheris: pip install '.[fuzz]'", file=sys.stderr)
        return 2
    print(f"{Environment.read('benchmarks.fuzz', arguments)}\n", flush=True)
    with atheris.instrument_imports(include=["splitwire"]):
        target = importlib.import_module(f"benchmarks.fuzz.{options.target}")
    _write_seeds(target, options.out)
    flags = [
        f"-max_total_time={options.seconds}",
        f"-max_len={_MAX_BYTES}",
        f"-rss_limit_mb={options.megabytes}",
        f"-artifact_prefix={options.out}/failed-",
        "-print_final_stats=1",
    ]
    more = {"custom_mutator": _mutator(atheris, target)} if hasattr(target, "mutate") else {}
    folders = [str(options.out / "corpus"), str(CORPUS / options.target)]
    atheris.Setup(["benchmarks.fuzz", *flags, *folders], Guard(target.check, target.allowance), **more)
    atheris.Fuzz()  # ends the process
    return 0


def _write_seeds(target: ModuleType, out: Path) -> None:
    (out / "corpus").mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (out / "corpus" / f"seed-{number}").write_bytes(seed)


def _mutator(atheris: Any, target: ModuleType) -> Any:
    """Every other time the target's own."""

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        mutated = target.mutate(data, seed) if seed % 2 else None
        found: bytes = atheris.Mutate(data, most) if mutated is None or len(mutated) > most else mutated
        return found

    return mutate


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "benchmarks.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("target", choices=TARGETS)
    add("--seconds", type=int, default=600, metavar="S", help="how long (default: %(default)s)")
    add(
        "--megabytes",
        type=int,
        default=512,
        metavar="N",
        help="most memory of the process (default: %(default)s)",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="what is found, to be minimized")
    return parser
