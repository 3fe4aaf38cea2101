"""One cloud, and whether it is worth asking: a circuit breaker.

    closed --unavailable, refused, other bundle, timeouts in a row--> open --a probe finds it well--> closed

While it is open no request is spent on it, and none has to find out that it is back: a thread asks for its
description, at intervals that differ, so that many edges do not come back all at once.
Source: Nygard, "Release It!", 2nd edition, 2018, chapter 5.
"""

import logging
import random
import threading
import time
from collections.abc import Callable

from edge.client import CloudClient, Reply
from edge.link import Link
from splitwire.errors import (
    BundleMismatch,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    CloudUnreached,
    DeadlineExceeded,
)
from splitwire.frame import Frame

__all__ = ["Replica"]

#: A single one may be the link's, or this edge's own.
_TIMEOUTS_IN_A_ROW = 2

#: That it took too long is not held against a cloud that a request gave less: a client may ask for the
#: impossible.
_FAIR_SECONDS = 0.25

#: Through the longest link that is of use. One that vanished ends it sooner, with the attempt to connect
#: (connection.py): its packets after 0 and 1 s, and the next one's after 2 s and the pause, notice a return
#: within 2 s.
_PROBE_SECONDS = 4.0
_PAUSE_SECONDS = (0.2, 0.6)

_log = logging.getLogger(__name__)


class Replica:
    """Any number of threads may call `forward`. target: HOST:PORT. opened: how often the breaker did.

    on_fault: called whenever the breaker opens.
    """

    def __init__(self, client: CloudClient, on_fault: Callable[[], None] = lambda: None) -> None:
        self._client, self._on_fault = client, on_fault
        self.target, self.link = client.target, Link()
        self.opened = 0
        self._lock = threading.Lock()
        self._fault: CloudError | None = None
        self._timeouts = 0
        self._probing = False
        self._random = random.Random()  # noqa: S311  # of its own: who seeds the common one expects its numbers
        self._closed = threading.Event()

    @property
    def fault(self) -> CloudError | None:
        """What opened the breaker; None while it is closed."""
        return self._fault

    def forward(self, frame: Frame, deadline: float) -> Reply:
        """Raises what `CloudClient.forward` does."""
        began = time.monotonic()
        try:
            reply = self._client.forward(frame, deadline)
        except (CloudUnavailable, CloudRefused, BundleMismatch, DeadlineExceeded) as error:
            if deadline - began >= _FAIR_SECONDS or not isinstance(error, (CloudUnreached, DeadlineExceeded)):
                self._blame(error)
            raise
        self._mend()
        network = time.monotonic() - began - reply.timings.total / 1000
        self.link.note(reply.uplink + reply.downlink, max(0.0, network))
        return reply

    def check(self, deadline: float) -> None:
        """Return if the cloud answers and serves the same bundle; closes the breaker.

        Raises:
            CloudUnavailable, BundleMismatch: as `CloudClient.check`.
        """
        self._client.check(deadline)
        self._mend()

    def retire(self) -> None:
        """Take no more requests, and end the probing; requests under way are still answered."""
        self._closed.set()
        self._client.finish()

    def close(self) -> None:
        """Fail what waits, and end the probing."""
        self._closed.set()
        self._client.close()

    def _mend(self) -> None:
        if self._fault is None and not self._timeouts:  # as nearly always: no lock
            return
        with self._lock:
            was, self._fault, self._timeouts = self._fault, None, 0
        if was is not None:
            _log.warning("%s is back", self._client.target)

    def _blame(self, error: CloudError) -> None:
        with self._lock:
            if isinstance(error, DeadlineExceeded):
                self._timeouts += 1
                if self._timeouts < _TIMEOUTS_IN_A_ROW:
                    return
        self._open(error)

    def _open(self, error: CloudError) -> None:
        with self._lock:
            if self._fault is not None or self._closed.is_set():
                return
            # Without its trace, which holds all that was at work.
            fault = self._fault = type(error)(str(error))
            self.opened += 1
            begin, self._probing = not self._probing, True
        self._client.retire()  # a link may be dead without a word: probes go over another
        if begin and not self._begin_probing():
            return
        _log.warning("%s is not asked for now: %s", self._client.target, fault)
        self._on_fault()

    def _begin_probing(self) -> bool:
        """Without a probe nothing would ever close it: then it stays closed, and requests find out."""
        try:
            threading.Thread(target=self._probe, name="cloud-probe", daemon=True).start()
        except RuntimeError as error:
            with self._lock:
                self._fault, self._probing = None, False
                self.opened -= 1
            _log.warning("%s is asked in vain: no thread can look when it is back: %s", self.target, error)
            return False
        return True

    def _probe(self) -> None:
        surprise = ""
        while self._goes_on() and not self._closed.wait(self._random.uniform(*_PAUSE_SECONDS)):
            try:
                self.check(time.monotonic() + _PROBE_SECONDS)
            except CloudError:
                self._client.retire()
            except Exception as error:  # what it was may pass, and nobody else looks
                if surprise != (surprise := repr(error)):  # several a second would bury all else
                    _log.exception("%s could not be probed", self.target)

    def _goes_on(self) -> bool:
        with self._lock:
            self._probing = self._fault is not None
            return self._probing
