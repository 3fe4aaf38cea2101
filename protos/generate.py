"""Generate the stubs from splitwire.proto, or check that the committed ones are what it generates.

    python -m protos.generate [--check]

protoc runs from the repository's root on `protos/splitwire.proto`: that is what makes the stubs say
`from protos import ...`. Their text depends on the versions in constraints.txt.
"""

import argparse
import sys
import sysconfig
import tempfile
from pathlib import Path

__all__ = ["drifted", "generate", "main"]

_ROOT = Path(__file__).resolve().parent.parent
_PROTO = "protos/splitwire.proto"
_STUBS = (
    "protos/splitwire_pb2.py",
    "protos/splitwire_pb2.pyi",
    "protos/splitwire_pb2_grpc.py",
    "protos/splitwire_pb2_grpc.pyi",
)


def generate(root: Path) -> None:
    """Write the stubs to `root`/protos.

    Raises:
        RuntimeError: protoc failed; it has said why on stderr.
    """
    from grpc_tools import protoc

    (root / "protos").mkdir(exist_ok=True)
    scripts = Path(sysconfig.get_path("scripts"))  # an inactive environment's is not on PATH
    plugins = [f"--plugin={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    outputs = [f"--{kind}_out={root}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    outputs += ["--mypy_opt=quiet", "--mypy_grpc_opt=quiet"]
    status = protoc.main(["protoc", f"--proto_path={_ROOT}", *plugins, *outputs, str(_ROOT / _PROTO)])
    if status:
        raise RuntimeError(f"protoc ended with status {status} on {_PROTO}")


def drifted() -> list[str]:
    """The committed stubs that differ from freshly generated ones, as paths from the root."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        return [stub for stub in _STUBS if _text(_ROOT / stub) != _text(fresh / stub)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m protos.generate", description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a stub has drifted")
    if not parser.parse_args(arguments).check:
        generate(_ROOT)
        return 0
    stale = drifted()
    for stub in stale:
        print(f"{stub} is not what {_PROTO} generates; run: python -m protos.generate", file=sys.stderr)
    return 1 if stale else 0


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
