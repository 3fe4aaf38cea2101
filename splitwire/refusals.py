"""Peers that were refused, said often enough to be noticed and seldom enough to be read."""

import logging
import time

__all__ = ["Refusals"]

_QUIET_SECONDS = 60.0

#: Whoever has more addresses than this fills neither the memory nor the log.
_MAX_PEERS = 1024


class Refusals:
    """Warns of each peer at most once a minute; the rest is for level debug."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._warned: dict[str, float] = {}

    def note(self, peer: str, reason: str) -> None:
        """peer: its address, without a port. reason: must not repeat what the peer sent."""
        if self.due(peer):
            self._log.warning("%s was refused: %s (said once a minute)", peer, reason)
        else:
            self._log.debug("%s was refused: %s", peer, reason)

    def due(self, peer: str) -> bool:
        """Whether it is to be warned of now; it then is not again for a minute."""
        now = time.monotonic()
        if len(self._warned) >= _MAX_PEERS:
            self._warned = {p: when for p, when in self._warned.items() if now - when < _QUIET_SECONDS}
        known = self._warned.get(peer)
        due = len(self._warned) < _MAX_PEERS if known is None else now - known >= _QUIET_SECONDS
        if due:
            self._warned[peer] = now
        return due
