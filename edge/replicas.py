"""Several clouds that serve the same bundle, asked in turn; one that does not answer costs a request nothing.

A cloud that drains says so, and the request goes to the next: as far as the budget reaches, since what fails
everywhere must not be tried everywhere.
"""

import itertools
import time
from collections.abc import Sequence

from edge.client import Reply
from edge.replica import Replica
from edge.retry_budget import RetryBudget
from splitwire.errors import BundleMismatch, CloudBusy, CloudError, CloudRefused, CloudUnavailable
from splitwire.frame import Frame

__all__ = ["Replicas"]


class Replicas:
    """At least one. Any number of threads may call `forward`. budget: of which asking another one takes."""

    def __init__(self, replicas: Sequence[Replica], budget: RetryBudget | None = None) -> None:
        self.replicas = tuple(replicas)
        self._budget = RetryBudget() if budget is None else budget
        self._turns = itertools.count()

    @property
    def fault(self) -> CloudError | None:
        """Why none of them is worth asking; None while one is."""
        faults = [replica.fault for replica in self.replicas]
        return None if None in faults else faults[0]

    def forward(self, frame: Frame, deadline: float) -> Reply:
        """Have the next cloud in turn compute the body, or the one after it. `deadline`: `time.monotonic()`.

        Raises:
            CloudError: what the last one that was asked raised.
        """
        failure: CloudError | None = None
        for replica in self._in_turn():
            try:
                reply = replica.forward(frame, deadline)
            except (CloudUnavailable, CloudBusy, CloudRefused, BundleMismatch) as error:
                failure = error
                self._budget.fail()
                if time.monotonic() >= deadline or not self._budget.allows:
                    break
            else:
                self._budget.succeed()
                return reply
        assert failure is not None
        try:
            raise failure
        finally:
            del failure  # or it and this frame would hold each other, and with them whoever called

    def check(self, deadline: float) -> None:
        """Return if one of them answers and serves the same bundle.

        Raises:
            CloudUnavailable, BundleMismatch: what the last one said.
        """
        failure: CloudError | None = None
        replicas = self._in_turn()
        for left, replica in zip(range(len(replicas), 0, -1), replicas, strict=True):
            now = time.monotonic()
            try:
                return replica.check(now + (deadline - now) / left)
            except CloudError as error:
                failure = error
        assert failure is not None
        try:
            raise failure
        finally:
            del failure  # or it and this frame would hold each other, and with them whoever called

    def close(self) -> None:
        """Fail what waits, and whatever comes after."""
        for replica in self.replicas:
            replica.close()

    def _in_turn(self) -> Sequence[Replica]:
        """Those worth asking; all of them where none is, for a caller who insists."""
        replicas = self.replicas
        if len(replicas) == 1:  # as mostly
            return replicas
        first = next(self._turns) % len(replicas)
        ordered = replicas[first:] + replicas[:first]
        return [replica for replica in ordered if replica.fault is None] or ordered
