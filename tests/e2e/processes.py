"""Cloud and edge as their users run them: processes, addresses from stderr, signals, exit statuses."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PATIENCE", "ROOT", "Service", "cloud_process", "edge_process", "running", "service"]

ROOT = Path(__file__).parents[2]

#: Only a hang takes this long.
PATIENCE = 120.0

#: How a program says that it is ready, in text or in JSON.
_READY = re.compile(r'[a-z]+: serving |\{.*"message": "serving ')


@dataclass(frozen=True)
class Service:
    """A process that has said that it is ready."""

    process: subprocess.Popen[bytes]
    announced: str

    @property
    def address(self) -> str:
        """HOST:PORT of a cloud, http://HOST:PORT of an edge."""
        return self.announced.rpartition(" ")[2]

    def lines(self) -> Iterator[str]:
        """Those of stderr that come from now on; each is read once."""
        return _lines(self.process)

    def end(self) -> tuple[int, str]:
        """Wait for the exit status, and the rest of stderr."""
        _, rest = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, rest.decode()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def mapped_files(self) -> str:
        return Path(f"/proc/{self.process.pid}/maps").read_text()


@contextlib.contextmanager
def running(*command: str) -> Iterator[Service]:
    """The command, ready; killed at the end if it still runs."""
    # Unbuffered: what a reader took ahead of its line, communicate() would never see.
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, bufsize=0) as process:
        try:
            # Libraries may have warned before it.
            yield Service(process, next(line for line in _lines(process) if _READY.match(line)))
        finally:
            process.kill()


def service(module: str, *arguments: str) -> contextlib.AbstractContextManager[Service]:
    return running(sys.executable, "-m", module, *arguments)


def cloud_process(
    bundle: Path, *options: str, listen: str = "127.0.0.1:0"
) -> contextlib.AbstractContextManager[Service]:
    return service("cloud", "--bundle", str(bundle), "--listen", listen, *options)


def edge_process(bundle: Path, cloud: str, *options: str) -> contextlib.AbstractContextManager[Service]:
    listen = ("--listen", "127.0.0.1:0")
    return service("edge", "--bundle", str(bundle), "--cloud", cloud, *listen, *options)


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    assert process.stderr is not None
    return (line.decode().strip() for line in process.stderr)
