"""Peers that were refused, said often enough to be noticed and seldom enough to be read."""

import logging
import time

__all__ = ["Refusals"]

_QUIET_SECONDS = 60.0

#: Whoever has more addresses than this fills neither the memory nor the log.
_MAX_PEERS = 1024


class Refusals:
    """Warns of each peer at most once a minute."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._warned: dict[str, float] = {}

    def note(self, peer: str, reason: str) -> None:
        """peer: its address, without a port. reason: must not repeat what the peer sent."""
        now = time.monotonic()
        if len(self._warned) >= _MAX_PEERS:
            self._warned = {p: when for p, when in self._warned.items() if now - when < _QUIET_SECONDS}
        known = self._warned.get(peer)
        if len(self._warned) < _MAX_PEERS if known is None else now - known >= _QUIET_SECONDS:
            self._warned[peer] = now
            self._log.warning("%s was refused: %s (said once a minute)", peer, reason)
