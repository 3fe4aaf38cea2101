"""schemathesis against a live edge: no failure of the server's, and every answer as /openapi.json says.

python -m benchmarks.fuzz.rest --bundle models/cifar10
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.environment import Environment
from benchmarks.processes import service
from demo.child import DemoError

__all__ = ["main"]

#: Whether images are accepted is not among them: the document says that they are binary, not which.
_CHECKS = (
    "no_failure_but_503",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    print(f"{Environment.read('benchmarks.fuzz.rest', arguments)}\n", flush=True)
    bundle = ("--bundle", str(options.bundle))
    try:
        with (
            service("cloud", *bundle) as cloud,
            service("edge", *bundle, "--cloud", cloud, "--fallback", "local") as url,
        ):
            return subprocess.run(
                [sys.executable, "-m", "schemathesis.cli", *_arguments(url, options.count, options.seed)],
                env=os.environ | {"SCHEMATHESIS_HOOKS": "benchmarks.fuzz.hooks"},
            ).returncode
    except DemoError as error:
        print(f"benchmarks.fuzz: error: {error}", file=sys.stderr)
        return 2


def _arguments(url: str, count: int, seed: int) -> list[str]:
    return [
        "run",
        f"{url}/openapi.json",
        f"--checks={','.join(_CHECKS)}",
        f"--max-examples={count}",
        f"--seed={seed}",
        "--phases=examples,coverage,fuzzing",
        "--suppress-health-check=all",
        "--continue-on-failure",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "benchmarks.fuzz.rest", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--bundle", type=Path, required=True, metavar="DIR")
    add("--count", type=int, default=5000, metavar="N", help="cases an operation (default: %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="the same makes the same cases")
    return parser


if __name__ == "__main__":
    sys.exit(main())
