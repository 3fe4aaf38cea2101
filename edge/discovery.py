"""Clouds behind names: whoever a name resolves to is asked in turn, and they may come and go.

    names --resolve--> addresses --make--> replicas --asked in turn--> answers
            every 30 s, and when a replica's breaker opened

Resolved here and not by gRPC, whose balancing picks an address for each call: the edge's requests are all
messages of one long call, and would all go to one address.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from edge.client import Reply
from edge.names import CloudName
from edge.replica import Replica
from edge.replicas import Replicas
from edge.retry_budget import RetryBudget
from splitwire.address import Address
from splitwire.errors import CloudError, CloudUnavailable
from splitwire.frame import Frame

__all__ = ["Discovered", "Make", "make_replicas"]

#: How often names are resolved, and how soon again while a replica is at fault or a name is unknown.
_CALM_SECONDS = 30.0
_TROUBLED_SECONDS = 3.0

#: (address, name that it was found by, what to call when its breaker opens) -> a replica.
Make: TypeAlias = Callable[[Address, str | None, Callable[[], None]], Replica]

_log = logging.getLogger(__name__)


def make_replicas(clouds: Sequence[Address | CloudName], make: Make, budget: RetryBudget) -> Replicas:
    """Of `clouds`; only names take a thread that resolves them. budget: as of `Replicas`."""
    addresses = [cloud for cloud in clouds if isinstance(cloud, Address)]
    if len(addresses) < len(clouds):
        return Discovered(clouds, make, budget)
    return Replicas([make(address, None, lambda: None) for address in addresses], budget)


class Discovered(Replicas):
    """Those at the given addresses, and those that names resolve to; a thread goes on resolving.

    A name that does not resolve any more keeps the addresses that it had. While there is nobody to ask,
    requests wait for the first resolution, and after it fail at once.
    """

    def __init__(
        self, clouds: Sequence[Address | CloudName], make: Make, budget: RetryBudget | None = None
    ) -> None:
        super().__init__((), budget)
        self._make = make
        self._found: dict[Address | CloudName, tuple[Address, ...]] = {
            cloud: (cloud,) if isinstance(cloud, Address) else () for cloud in clouds
        }
        self._unknown: dict[CloudName, str] = {}
        self._known: dict[Address, Replica] = {}
        self._leaving: set[Address] = set()
        self._lock = threading.Lock()
        self._resolved, self._wake, self._closed = threading.Event(), threading.Event(), threading.Event()
        threading.Thread(target=self._run, name="cloud-names", daemon=True).start()

    @property
    def fault(self) -> CloudError | None:
        if self.replicas:
            return super().fault
        return self._nobody() if self._resolved.is_set() else None

    def forward(self, frame: Frame, deadline: float) -> Reply:
        """As of replicas that are known from the start."""
        self._find(deadline)
        return super().forward(frame, deadline)

    def check(self, deadline: float) -> None:
        """As of replicas that are known from the start."""
        self._find(deadline)
        super().check(deadline)

    def close(self) -> None:
        """Fail what waits, and whatever comes after."""
        with self._lock:
            self._closed.set()
            self._wake.set()
            for replica in self._known.values():
                replica.close()

    def _find(self, deadline: float) -> None:
        if not self.replicas:  # once there are some, there always are
            self._resolved.wait(max(0.0, deadline - time.monotonic()))
            if not self.replicas:
                raise self._nobody()

    def _nobody(self) -> CloudUnavailable:
        return CloudUnavailable("; ".join(self._unknown.values()) or "no name has been resolved yet")

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wake.clear()
            self._resolve()
            self._resolved.set()
            self._closed.wait(_TROUBLED_SECONDS)
            if not self._troubled():
                self._wake.wait(_CALM_SECONDS - _TROUBLED_SECONDS)

    def _troubled(self) -> bool:
        return bool(self._unknown) or any(replica.fault is not None for replica in self.replicas)

    def _resolve(self) -> None:
        for name in [cloud for cloud in self._found if isinstance(cloud, CloudName)]:
            try:
                self._note(name, name.resolve())
            except CloudUnavailable as error:
                if name not in self._unknown:
                    _log.warning("%s", error)
                self._unknown[name] = str(error)
        hosts = {cloud: cloud.host if isinstance(cloud, CloudName) else None for cloud in self._found}
        self._take({address: hosts[cloud] for cloud, found in self._found.items() for address in found})

    def _note(self, name: CloudName, addresses: tuple[Address, ...]) -> None:
        self._unknown.pop(name, None)
        if set(addresses) != set(self._found[name]):
            _log.info("%s resolves to %s", name, ", ".join(map(str, addresses)))
        self._found[name] = addresses

    def _take(self, wanted: Mapping[Address, str | None]) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            for address in wanted.keys() - self._known.keys():
                self._known[address] = self._make(address, wanted[address], self._wake.set)
            self.replicas = tuple(self._known[address] for address in wanted)
            self._dismiss(self._known.keys() - wanted.keys())

    def _dismiss(self, gone: set[Address]) -> None:
        """A round later: by then nobody who saw them among the replicas is still about to ask."""
        for address in gone & self._leaving:
            self._known.pop(address).retire()
        self._leaving = gone - self._leaving
