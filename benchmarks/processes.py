"""Real services on loopback, for as long as a benchmark needs them."""

from collections.abc import Iterator
from contextlib import contextmanager

from demo.child import Child

__all__ = ["service"]


@contextmanager
def service(name: str, *arguments: str) -> Iterator[str]:
    """Run `python -m NAME ARGUMENTS` on a free port; what it serves on: HOST:PORT, or the edge's URL.

    Raises:
        DemoError: it ended, or was not ready in time.
    """
    child = Child(name, [*arguments, "--listen", "127.0.0.1:0"])
    try:
        yield child.wait_ready()
    finally:
        child.stop()
