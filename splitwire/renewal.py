"""What files hold, read again without a restart when they change."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from splitwire.errors import ConfigError

__all__ = ["Renewed"]

_T = TypeVar("_T")

#: Files are looked at no more often than this.
_CHECK_SECONDS = 1.0

#: What tells that a file is another one than before; None where there is no such file.
_Stamp: TypeAlias = tuple[int, int, int] | None


class Renewed(Generic[_T]):
    """What `load` makes of the files at `paths`, and makes again when one of them has changed.

    Files are looked at when it is used, at most once a second. Any number of threads may use it. Files that
    cannot be used any more leave what was loaded before, are tried again as often as they are looked at,
    since what is wrong may pass by itself, and are logged once. what: of which the log speaks.

    Raises:
        ConfigError: as `load`, of the files as they are now.
    """

    def __init__(
        self, load: Callable[[], _T], paths: Sequence[Path], *, what: str, log: logging.Logger
    ) -> None:
        self._load, self._paths, self._what, self._log = load, tuple(paths), what, log
        self._loaded = self._look()  # before they are read: a change while they are is seen next time
        self._value = load()
        self._failed: tuple[list[_Stamp], str] | None = None
        self._checked = time.monotonic()
        self._lock = threading.Lock()

    @property
    def current(self) -> _T:
        """As of the files that could be used last."""
        with self._lock:
            if time.monotonic() - self._checked >= _CHECK_SECONDS:
                self._renew()
                self._checked = time.monotonic()
            return self._value

    def _renew(self) -> None:
        stamps = self._look()
        if stamps == self._loaded:
            self._failed = None
            return
        try:
            self._value = self._load()
        except ConfigError as error:
            self._complain(stamps, str(error))
        else:
            self._loaded, self._failed = stamps, None
            self._log.info("%s read again from %s", self._what, ", ".join(map(str, self._paths)))

    def _complain(self, stamps: list[_Stamp], message: str) -> None:
        if self._failed != (stamps, message):
            self._log.warning("%s; the %s that were read before stay in use", message, self._what)
        self._failed = stamps, message

    def _look(self) -> list[_Stamp]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
