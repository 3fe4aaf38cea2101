"""An edge, and a cloud that can be killed, restarted, and put behind a bad link."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.processes import Service, watched_service
from demo.child import Child, DemoError

__all__ = ["Cloud", "edge"]


class Cloud:
    """Always at the same address. prefix: words before its command, see `Child`."""

    def __init__(self, bundle: Path, listen: str, *, prefix: Sequence[str] = ()) -> None:
        # In a namespace of its own nobody else can call it.
        self._arguments, self._prefix = ["--insecure", "--bundle", str(bundle), "--listen", listen], prefix
        self._child: Child | None = None
        self.address = listen

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return None if self._child is None else self._child.pid

    @property
    def service(self) -> Service:
        """While it runs."""
        assert self._child is not None
        return Service(self.address, self._child.pid)

    def start(self) -> None:
        """Returns when it serves.

        Raises:
            DemoError: it ended, or was not ready in time.
        """
        child = Child("cloud", self._arguments, prefix=self._prefix)
        try:
            self.address = child.wait_ready()
        except DemoError:
            child.kill()
            raise
        self._child = child
        self._arguments[-1] = self.address

    def kill(self) -> None:
        """Nothing happens if it does not run."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def stop(self) -> None:
        """As SIGTERM does: what is in flight is finished."""
        assert self._child is not None
        self._child.stop()
        self._child = None


def edge(bundle: Path, clouds: Sequence[str], deadline_ms: int) -> AbstractContextManager[Service]:
    """Its address is a URL."""
    options = ("--bundle", str(bundle), "--cloud", *clouds, "--deadline-ms", str(deadline_ms))
    return watched_service("edge", *options)
