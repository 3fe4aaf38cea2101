"""The bundle that an edge serves, and how another takes its place while requests come.

    read, verified, warmed up -> current -> (a reload) -> its last request -> freed

A request is answered by the bundle that it began with, from head to tail.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from edge.held import Held
from edge.pipeline import Pipeline
from splitwire.bundle import Bundle
from splitwire.errors import BundleMismatch, CloudError, ReloadRefused, SplitwireError
from splitwire.tally import Tally

__all__ = ["RESULTS", "Holder", "Make", "Reload"]

#: How a reload ends.
RESULTS = ("swapped", "unchanged", "refused")

#: How long a reload waits to hear from the cloud.
_PATIENCE_SECONDS = 1.0

#: Makes what serves of a bundle that was read; runs in a thread of its own.
Make: TypeAlias = Callable[[Bundle], Pipeline]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reload:
    """One that was not refused. result: "swapped" or "unchanged". before, now: what was served, and is."""

    result: str
    before: Bundle
    now: Bundle


class Holder:
    """For one event loop. A request takes `current` once, and keeps it; so a reload costs it nothing.

    path: where the bundle lies, to be read again. pipeline: what serves at first. reloads: by result.
    """

    def __init__(self, path: Path, make: Make, pipeline: Pipeline) -> None:
        self.current = Held(pipeline)
        self.reloads = Tally((result,) for result in RESULTS)
        self._path, self._make = path, make
        self._reloading = asyncio.Lock()
        self._gone: Held | None = None
        self._retiring: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def retiring(self) -> bool:
        """Whether requests are still answered by what was replaced."""
        return self._retiring is not None and not self._retiring.done()

    async def reload(self) -> Reload:
        """Serve what the folder holds now, from the next request on.

        A second call waits for the first, and until what the first one replaced is freed.

        Raises:
            BundleError: it cannot be served.
            ReloadRefused: the edge is shutting down, or no cloud holds it and there is no local route.
        Whatever is raised is logged, and what was served still is.
        """
        async with self._reloading:
            try:
                reload = await self._renew()
            except Exception as error:
                self.reloads.add("refused")
                cause = None if isinstance(error, SplitwireError) else error
                _log.error("not reloaded: %s; %s goes on being served", error, self.current, exc_info=cause)
                raise
            self.reloads.add(reload.result)
            return reload

    def close(self) -> None:
        """Fail what waits for the cloud, and reload no more."""
        self._closed = True
        for held in (self.current, self._gone):
            if held is not None:
                held.pipeline.cloud.close()

    async def _renew(self) -> Reload:
        self._check_open()
        if self._retiring is not None:  # so that there are never more than two
            await self._retiring
        before = self.current.bundle
        pipeline = await asyncio.to_thread(self._read)
        if pipeline is None:
            _log.info("reloaded: %s is unchanged", self.current)
            return Reload("unchanged", before, before)
        if self._closed:
            pipeline.cloud.close()
        self._check_open()
        self._swap(Held(pipeline))
        return Reload("swapped", before, pipeline.bundle)

    def _read(self) -> Pipeline | None:
        """What serves the bundle that the folder holds, unless it is served already. Runs in a thread."""
        bundle = Bundle.load(self._path)
        return None if bundle.digest == self.current.bundle.digest else self._prepare(bundle)

    def _swap(self, held: Held) -> None:
        gone = self._gone = self.current
        self.current = held
        _log.info("reloaded: %s is served, %s no more", held, gone)
        self._retiring = asyncio.create_task(gone.retire())
        self._retiring.add_done_callback(lambda _: self._forget(gone))

    def _forget(self, gone: Held) -> None:
        self._gone = None
        _log.info("%s is drained and freed", gone)

    def _prepare(self, bundle: Bundle) -> Pipeline:
        """Ready for its first image, which waits for no connection."""
        pipeline = self._make(bundle)
        with contextlib.ExitStack() as undo:
            undo.callback(pipeline.cloud.close)
            _greet(pipeline)
            undo.pop_all()
        return pipeline

    def _check_open(self) -> None:
        if self._closed:
            raise ReloadRefused("the edge is shutting down")


def _greet(pipeline: Pipeline) -> None:
    """Raises:
    ReloadRefused: nobody could answer with it.
    """
    try:
        pipeline.cloud.check(time.monotonic() + _PATIENCE_SECONDS)
    except BundleMismatch as error:
        if not pipeline.falls_back:
            raise ReloadRefused(f"without a local route nobody could answer: {error}") from None
        _log.warning("%s: the edge answers by itself until the cloud has this one", error)
    except CloudError as error:
        _log.warning("the cloud was not reached while reloading: %s", error)
