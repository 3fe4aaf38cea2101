"""The bundles that a cloud answers for, and how one takes the place of another while requests come.

    read, verified, warmed up -> current -> (a reload) -> other -> (a reload) -> drained -> freed

Two, so that a change can go through a fleet: clouds first, then edges. Each edge names the one it has.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from cloud.held import Held
from splitwire.bundle import Bundle
from splitwire.errors import BundleMismatch, ReloadRefused, SplitwireError

__all__ = ["RESULTS", "Hold", "Holder"]

#: How a reload ends.
RESULTS = ("swapped", "unchanged", "refused")

#: Makes what serves of a bundle that was read; runs in a thread of its own.
Hold: TypeAlias = Callable[[Bundle], Held]

_log = logging.getLogger(__name__)


class Holder:
    """For one event loop. What a request pays for a second bundle is one look into a dictionary.

    path: where the current one lies, to be read again. current, other: the bundles to begin with.
    note: called with the result of every reload.
    """

    def __init__(
        self, path: Path, hold: Hold, current: Held, other: Held | None = None, *, note: Callable[[str], None]
    ) -> None:
        self._path, self._hold, self._note = path, hold, note
        self._current, self._other = current, other
        self._by_digest = self._index()
        self._reloading = asyncio.Lock()
        self._retiring: asyncio.Task[None] | None = None
        self._ending = False

    @property
    def current(self) -> Held:
        """The latest, which is described to whoever names none."""
        return self._current

    @property
    def other(self) -> Held | None:
        """The one before, or what the cloud was started with besides."""
        return self._other

    def find(self, digest: bytes) -> Held:
        """The bundle that a request names.

        Raises:
            BundleMismatch: it is not held.
        """
        held = self._by_digest.get(digest)
        if held is None:
            known = " and ".join(known.hex() for known in self._by_digest)
            raise BundleMismatch(
                f"the cloud serves bundle {known}, the request is for {digest[:16].hex() or 'none'}"
            )
        return held

    def describe(self, digest: bytes) -> Held:
        """The bundle of that digest, or else the current one: the description says which."""
        return self._by_digest.get(digest, self._current)

    async def reload(self) -> None:
        """Serve what the folder holds now. What cannot be served changes nothing; the log says why.

        A second call waits for the first, and for what the first one replaced to be freed.
        """
        async with self._reloading:
            try:
                result = await self._renew()
            except Exception as error:  # whatever it is, what was served still is
                result = "refused"
                cause = None if isinstance(error, SplitwireError) else error
                _log.error("not reloaded: %s; %s goes on being served", error, self._current, exc_info=cause)
            self._note(result)

    def end_reloads(self) -> None:
        """Refuse what comes after, and what is under way before it has swapped."""
        self._ending = True

    def close(self) -> None:
        """Drop what still waits for a worker."""
        self.end_reloads()
        for held in self._by_digest.values():
            held.body.close()

    async def _renew(self) -> str:
        self._check_ending()
        if self._retiring is not None:  # so that there are never more than three
            await self._retiring
        held = await asyncio.to_thread(self._read)
        if held is self._current:
            _log.info("reloaded: %s is unchanged", held)
            return "unchanged"
        if self._ending and held is not self._other:
            held.body.close()
        self._check_ending()
        self._swap(held)
        return "swapped"

    def _read(self) -> Held:
        """What the folder holds, made anew unless it is held already. Runs in a thread of its own."""
        bundle = Bundle.load(self._path)
        return self._by_digest.get(bundle.digest) or self._hold(bundle)

    def _swap(self, held: Held) -> None:
        gone = None if self._other is held else self._other
        self._current, self._other = held, self._current
        self._by_digest = self._index()
        _log.info("reloaded: %s is served, and %s to those who name it", self._current, self._other)
        if gone is not None:
            self._retiring = asyncio.create_task(gone.retire())
            self._retiring.add_done_callback(lambda _: _log.info("%s is drained and freed", gone))

    def _check_ending(self) -> None:
        if self._ending:
            raise ReloadRefused("the cloud is shutting down")

    def _index(self) -> dict[bytes, Held]:
        held = (self._current, self._other)
        return {one.bundle.digest: one for one in held if one is not None}
