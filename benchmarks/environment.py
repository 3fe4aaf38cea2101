"""Where and how a benchmark ran: printed at the head of its output, first line of its results."""

import os
import platform
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from splitwire.cores import usable_cores

__all__ = ["Environment"]

#: What decides speed and bytes. Those that are not installed are left out.
_LIBRARIES = (
    "numpy",
    "onnxruntime",
    "grpcio",
    "protobuf",
    "zstandard",
    "pillow",
    "fastapi",
    "uvicorn",
    "torch",
)


@dataclass(frozen=True, slots=True)
class Environment:
    """cores: that this process may use. memory: of the machine, in GiB, None where it cannot be told.
    load: processes that wanted a core in the last minute, before the benchmark began."""

    command: str
    processor: str
    cores: int
    memory: float | None
    load: float | None
    system: str
    python: str
    libraries: dict[str, str]

    @classmethod
    def read(cls, module: str, arguments: Sequence[str]) -> "Environment":
        """Of `python -m MODULE ARGUMENTS`, here and now."""
        return cls(
            command=shlex.join(["python", "-m", module, *arguments]),
            processor=_processor(),
            cores=usable_cores(),
            memory=_memory(),
            load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            python=f"{platform.python_implementation()} {platform.python_version()}",
            libraries={name: found for name in _LIBRARIES if (found := _version(name))},
        )

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    def __str__(self) -> str:
        memory = "" if self.memory is None else f", {self.memory:g} GiB"
        load = "" if self.load is None else f", load {self.load:g}"
        return "\n".join(
            (
                f"command    {self.command}",
                f"hardware   {self.processor}, {self.cores} cores{memory}{load}",
                f"software   {self.system}, {self.python}",
                f"libraries  {', '.join(f'{name} {found}' for name, found in self.libraries.items())}",
            )
        )


def _processor() -> str:
    """Linux tells by /proc alone."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):  # not on every system
        return None


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
