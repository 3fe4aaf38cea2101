"""A service as a child process: started, waited for, watched, stopped."""

import collections
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

__all__ = ["Child", "DemoError"]

_ROOT = Path(__file__).parents[1]

_START_SECONDS = 60.0

#: More than what the services themselves allow the requests in flight.
_STOP_SECONDS = 20.0

_KEPT_LINES = 20


def _environment() -> dict[str, str]:
    """Without the tokens of services that the user has: here nobody shows any."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SPLITWIRE_")}


class DemoError(Exception):
    """Its text is meant to be shown as it is."""


class Child:
    """`python -m NAME ARGUMENTS`; ready once it says `NAME: serving ... on ADDRESS`.

    prefix: words before it, of a command that becomes the one that they precede.
    """

    def __init__(self, name: str, arguments: Sequence[str], *, prefix: Sequence[str] = ()) -> None:
        self.name = name
        self._lines: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._announced = threading.Event()
        self._address = ""
        # In a session of its own: a Ctrl-C reaches this program alone, which stops its children in order.
        self._process = subprocess.Popen(  # noqa: S603
            [*prefix, sys.executable, "-m", name, *arguments],
            cwd=_ROOT,
            env=_environment(),
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> str:
        """The address that it serves on.

        Raises:
            DemoError: it ended, or said nothing in time.
        """
        self._announced.wait(_START_SECONDS)
        if not self._address:
            self.check()
            raise DemoError(f"the {self.name} was not ready after {_START_SECONDS:g} s{self._tail()}")
        return self._address

    def check(self) -> None:
        """Raise DemoError if it has ended."""
        if self._process.poll() is not None:
            self._listener.join(_STOP_SECONDS)
            raise DemoError(f"the {self.name} ended with status {self._process.returncode}{self._tail()}")

    def resident_bytes(self) -> int:
        """Of its memory; Linux alone tells."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def stop(self) -> None:
        """End it: gracefully, unless that takes too long."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._collect()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._collect()

    def _collect(self) -> None:
        self._process.wait()
        self._listener.join(_STOP_SECONDS)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line.rstrip())
            if line.startswith(f"{self.name}: serving "):
                self._address = line.split()[-1]
                self._announced.set()
        self._process.wait()
        self._announced.set()

    def _tail(self) -> str:
        if not self._lines:
            return ", and it logged nothing"
        return "; the last lines of its log:\n" + "\n".join(f"    {line}" for line in self._lines)
