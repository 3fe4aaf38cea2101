"""A bundle that the edge serves, with all that requests need of it: one thing, exchanged as a whole."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from edge.documents import model_of
from edge.pipeline import Pipeline
from edge.readiness import Readiness

__all__ = ["Held"]


class Held:
    """For one event loop.

    model: what is said of it. readiness: whether its clouds are there. raw_downlink: bytes of what comes
    back, as dense float32.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.bundle = pipeline.bundle
        self.model = model_of(pipeline.bundle)
        self.readiness = Readiness(pipeline.cloud)
        self.raw_downlink = pipeline.bundle.manifest.downlink.raw_bytes
        self._users = 0
        self._unused: asyncio.Event | None = None

    def __str__(self) -> str:
        return f"{self.bundle.manifest.name} {self.bundle.digest.hex()}"

    @contextmanager
    def use(self) -> Iterator[None]:
        """Meanwhile it is not closed, though another may have taken its place."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._unused is not None and not self._users:
                self._unused.set()

    async def retire(self) -> None:
        """Wait for its last user, then let go of its connections; nobody may begin to use it any more."""
        if self._users:
            self._unused = asyncio.Event()
            await self._unused.wait()
        self.pipeline.cloud.close()
