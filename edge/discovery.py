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

__all__ = ["Discovered", "Found", "Make", "make_replicas"]

#: How often names are resolved, and how soon again while a replica is at fault or a name is unknown.
_CALM_SECONDS = 30.0
_TROUBLED_SECONDS = 3.0

#: (address, name that it was found by, what to call when its breaker opens) -> a replica.
Make: TypeAlias = Callable[[Address, str | None, Callable[[], None]], Replica]

#: An address, and the name that it was found by, which its certificate is to have.
_Place: TypeAlias = tuple[Address, str | None]

#: What names resolved to when they last did.
Found: TypeAlias = dict[CloudName, tuple[Address, ...]]

_log = logging.getLogger(__name__)


def make_replicas(
    clouds: Sequence[Address | CloudName], make: Make, budget: RetryBudget, found: Found | None = None
) -> Replicas:
    """Of `clouds`; only names take a thread that resolves them. budget, found: as of `Discovered`."""
    addresses = [cloud for cloud in clouds if isinstance(cloud, Address)]
    if len(addresses) < len(clouds):
        return Discovered(clouds, make, budget, found)
    return Replicas([make(address, None, lambda: None) for address in addresses], budget)


class Discovered(Replicas):
    """Those at the given addresses, and those that names resolve to; a thread goes on resolving.

    A name that does not resolve any more keeps the addresses that it had. While there is nobody to ask,
    requests wait for the first resolution, and after it fail at once.

    found: what others found before, which holds until the names resolve; what is found is noted in it.
    """

    def __init__(
        self,
        clouds: Sequence[Address | CloudName],
        make: Make,
        budget: RetryBudget | None = None,
        found: Found | None = None,
    ) -> None:
        super().__init__((), budget)
        self._clouds = tuple(dict.fromkeys(clouds))
        self._make = make
        self._found: Found = {} if found is None else found
        self._unknown: dict[CloudName, str] = {}
        self._known: dict[_Place, Replica] = {}
        self._leaving: set[_Place] = set()
        self._lock = threading.Lock()
        self._resolved, self._wake, self._closed = threading.Event(), threading.Event(), threading.Event()
        self._take(self._wanted())  # whoever is known by now waits for no name
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
        """As of replicas that are known from the start; at first names have half of the time to resolve."""
        # What was found before may be gone, or hold another bundle than those that took its place.
        self._resolved.wait(max(0.0, (deadline - time.monotonic()) / 2))
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
        for name in [cloud for cloud in self._clouds if isinstance(cloud, CloudName)]:
            try:
                self._note(name, name.resolve())
            except CloudUnavailable as error:
                if name not in self._unknown:
                    _log.warning("%s", error)
                self._unknown[name] = str(error)
        self._take(self._wanted())

    def _wanted(self) -> dict[Address, str | None]:
        wanted: dict[Address, str | None] = {}
        for cloud in self._clouds:
            if isinstance(cloud, CloudName):
                wanted.update(dict.fromkeys(self._found.get(cloud, ()), cloud.host))
            else:
                wanted[cloud] = None
        return wanted

    def _note(self, name: CloudName, addresses: tuple[Address, ...]) -> None:
        self._unknown.pop(name, None)
        if set(addresses) != set(self._found.get(name, ())):
            _log.info("%s resolves to %s", name, ", ".join(map(str, addresses)))
        self._found[name] = addresses

    def _take(self, wanted: Mapping[Address, str | None]) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            for place in wanted.items() - self._known.keys():
                self._known[place] = self._make(*place, self._wake.set)
            self.replicas = tuple(self._known[place] for place in wanted.items())
            self._dismiss(self._known.keys() - wanted.items())

    def _dismiss(self, gone: set[_Place]) -> None:
        """A round later: by then nobody who saw them among the replicas is still about to ask."""
        for place in gone & self._leaving:
            self._known.pop(place).retire()
        self._leaving = gone - self._leaving
