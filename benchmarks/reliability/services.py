"""An edge, and a cloud that can be killed, restarted, and put behind a bad link."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.processes import service
from demo.child import Child

__all__ = ["Cloud", "edge"]


class Cloud:
    """Always at the same address. prefix: words before its command, see `Child`."""

    def __init__(self, bundle: Path, listen: str, *, prefix: Sequence[str] = ()) -> None:
        # In a namespace of its own nobody else can call it.
        self._arguments, self._prefix = ["--insecure", "--bundle", str(bundle), "--listen", listen], prefix
        self._child: Child | None = None
        self.address = listen

    def start(self) -> None:
        """Returns when it serves."""
        self._child = Child("cloud", self._arguments, prefix=self._prefix)
        self.address = self._child.wait_ready()
        self._arguments[-1] = self.address

    def kill(self) -> None:
        assert self._child is not None
        self._child.kill()

    def stop(self) -> None:
        """As SIGTERM does: what is in flight is finished."""
        assert self._child is not None
        self._child.stop()


def edge(bundle: Path, cloud: str, deadline_ms: int) -> AbstractContextManager[str]:
    """Its URL."""
    return service("edge", "--bundle", str(bundle), "--cloud", cloud, "--deadline-ms", str(deadline_ms))
