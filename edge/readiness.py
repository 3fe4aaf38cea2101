"""Whether requests can be answered now: is the cloud there, with the same bundle?"""

import asyncio
import time

from edge.route import Cloud
from splitwire.errors import CloudError

__all__ = ["Readiness"]

_FRESH_SECONDS = 1.0
_PATIENCE_SECONDS = 1.0


class Readiness:
    """However many probes come, the cloud is asked at most about once a second."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._asking = asyncio.Lock()
        self._asked = float("-inf")
        self._fault: CloudError | None = None

    async def check(self) -> None:
        """Return if ready.

        Raises:
            CloudUnavailable: the cloud does not answer.
            BundleMismatch: it serves another bundle.
            CloudRefused: it does not accept what the edge shows.
        """
        async with self._asking:
            if time.monotonic() - self._asked > _FRESH_SECONDS:
                self._fault = await asyncio.to_thread(self._ask)
                self._asked = time.monotonic()
        if self._fault is not None:
            raise type(self._fault)(str(self._fault))

    def _ask(self) -> CloudError | None:
        try:
            self._cloud.check(time.monotonic() + _PATIENCE_SECONDS)
        except CloudError as fault:
            return type(fault)(str(fault))  # without its trace
        return None
