"""grpc.health.v1 of one server, which serves until it drains."""

import asyncio
from typing import TypeAlias

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

__all__ = ["Health"]

_Context: TypeAlias = "grpc.aio.ServicerContext[HealthCheckRequest, HealthCheckResponse]"


class Health(health_pb2_grpc.HealthServicer):
    """Of the server as a whole, and of each of `services`.

    A watcher is written to by its own call, and nobody waits for it. grpc_health's servicer holds a lock
    meanwhile: a watcher that did not read kept others from being told, and the drain from beginning.
    """

    def __init__(self, *services: str) -> None:
        self._services = {"", *services}
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """NOT_SERVING from now on; those who watch are told in the event loop's next turn."""
        self._draining.set()

    async def Check(  # noqa: N802
        self, request: HealthCheckRequest, context: _Context
    ) -> HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return self._status(request.service)

    async def Watch(self, request: HealthCheckRequest, context: _Context) -> None:  # noqa: N802
        """Until its client, or the server's stop, ends it."""
        if request.service in self._services and not self._draining.is_set():
            await context.write(self._status(request.service))
            await self._draining.wait()
        await context.write(self._status(request.service))
        await asyncio.get_running_loop().create_future()

    def _status(self, service: str) -> HealthCheckResponse:
        if service not in self._services:
            return HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
        draining = self._draining.is_set()
        return HealthCheckResponse(
            status=HealthCheckResponse.NOT_SERVING if draining else HealthCheckResponse.SERVING
        )
