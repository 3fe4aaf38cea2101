"""The cloud as a process: a gRPC server around one bundle, from listening to drained."""

import asyncio
import logging
import signal

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cloud.body import Body
from cloud.config import CloudConfig
from cloud.garbled import RefuseGarbled
from cloud.listening import check_free
from cloud.metrics import CloudMetrics, pages_of
from cloud.observer import Observer
from cloud.servicer import Servicer
from protos import splitwire_pb2 as pb
from protos.splitwire_pb2_grpc import add_SplitInferenceServicer_to_server
from splitwire.address import Address
from splitwire.bundle import Bundle
from splitwire.errors import ConfigError
from splitwire.frame import max_payload_bytes
from splitwire.logs import announce
from splitwire.pages import Pages
from splitwire.plan import BoundarySpec

__all__ = ["SERVICE", "CloudServer", "max_request_bytes", "serve"]

#: The service's full name, under which health and reflection know it.
SERVICE = pb.DESCRIPTOR.services_by_name["SplitInference"].full_name

#: What a request holds besides its payload (digest, id, shape, tags: under 100 bytes), and what
#: health checks and reflection ask for.
_ENVELOPE_BYTES = 4096

#: gRPC keeps its limits in a signed 32-bit integer.
_MAX_MESSAGE_BYTES = (1 << 31) - 1

#: After the drain only health watchers and the last writes are left.
_FLUSH_SECONDS = 0.5

_log = logging.getLogger(__name__)


class CloudServer:
    """A server that is listening; made by `start`, ended by `drain`."""

    def __init__(
        self,
        bundle: Bundle,
        address: Address,
        server: grpc.aio.Server,
        servicer: Servicer,
        watch: health.aio.HealthServicer,
        body: Body,
        pages: Pages | None,
    ) -> None:
        self.bundle = bundle
        self.address = address
        self._server = server
        self._servicer = servicer
        self._health = watch
        self._body = body
        self._pages = pages

    @classmethod
    async def start(cls, config: CloudConfig) -> "CloudServer":
        """Load the bundle, warm it up, listen.

        Raises:
            BundleError: there is no such bundle, or it cannot be served.
            ConfigError: the address cannot be listened on, a certificate, key or token cannot be used, or
                max-rows needs impossible messages.
        """
        transport, gates = config.credentials.transport(), config.credentials.gates()
        bundle = Bundle.load(config.bundle)
        options = _options(max_request_bytes(bundle.manifest.uplink, config.max_rows), config.max_connections)
        check_free(config.listen)
        metrics = CloudMetrics()
        body = Body(
            bundle,
            threads=config.threads,
            workers=config.workers,
            max_rows=config.max_rows,
            max_batch=config.max_batch,
            max_queue=config.max_queue,
            max_delay_us=config.max_delay_us,
            note_rows=metrics.note_rows,
        )
        servicer = Servicer(bundle, body, max_rows=config.max_rows, observer=Observer(metrics))
        server = grpc.aio.server(interceptors=[*gates, RefuseGarbled()], options=options)
        watch = await _add_services(server, servicer)
        address = Address(config.listen.host, _bind(server, config.listen, transport))
        pages = _open_pages(config, metrics, servicer)
        await server.start()
        return cls(bundle, address, server, servicer, watch, body, pages)

    @property
    def metrics_address(self) -> Address | None:
        """Where monitoring is answered; None is nowhere."""
        return None if self._pages is None else self._pages.address

    async def drain(self, seconds: float) -> None:
        """Refuse new requests, finish those in flight for at most `seconds`, and stop."""
        await self._health.enter_graceful_shutdown()
        finished = await self._servicer.drain(seconds)
        if not finished:
            _log.warning("requests were still in flight after %g s; they are cut off", seconds)
        await self._server.stop(_FLUSH_SECONDS if finished else None)
        self._body.close()
        if self._pages is not None:
            self._pages.close()


def _open_pages(config: CloudConfig, metrics: CloudMetrics, servicer: Servicer) -> Pages | None:
    if config.metrics is None:
        return None
    return Pages(config.metrics, pages_of(metrics, lambda: not servicer.draining))


def max_request_bytes(uplink: BoundarySpec, rows: int) -> int:
    """No valid request of so many rows is a longer message.

    Raises:
        ConfigError: gRPC cannot carry messages of that size.
    """
    largest = max_payload_bytes(uplink, rows) + _ENVELOPE_BYTES
    if largest > _MAX_MESSAGE_BYTES:
        raise ConfigError(
            f"--max-rows {rows} needs messages of {largest} bytes with this bundle, "
            f"gRPC carries at most {_MAX_MESSAGE_BYTES}"
        )
    return largest


async def serve(config: CloudConfig) -> None:
    """Serve until SIGTERM or SIGINT, then drain. A second signal ends the process at once.

    Raises:
        SplitwireError: as `CloudServer.start`.
    """
    stop = _stop_signal()
    server = await CloudServer.start(config)
    bundle = server.bundle
    announce(
        "cloud",
        f"serving {bundle.manifest.name} {bundle.digest.hex()} on {server.address}",
        form=config.log_format,
    )
    if server.metrics_address is not None:
        announce("cloud", f"metrics on http://{server.metrics_address}/metrics", form=config.log_format)
    await stop.wait()
    _log.info("draining: finishing what is in flight, for at most %g s", config.drain_seconds)
    await server.drain(config.drain_seconds)
    _log.info("stopped")


def _stop_signal() -> asyncio.Event:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)

    def on_first() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in signals:
        loop.add_signal_handler(number, on_first)
    return stop


def _options(largest_request: int, most_connections: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", largest_request),
        ("grpc.max_send_message_length", -1),  # replies are as large as the bundle makes them
        # No gzip: gRPC compares a message with the limit only once it is inflated, 1000 times larger.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.so_reuseport", 0),  # or two clouds could share a port without noticing
        ("grpc.max_concurrent_streams", 256),
        ("grpc.max_allowed_incoming_connections", most_connections),  # from before their handshakes
        # An edge pings every 2 s, also while nothing is in flight; dead edges are noticed too.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]


async def _add_services(server: grpc.aio.Server, servicer: Servicer) -> health.aio.HealthServicer:
    watch = health.aio.HealthServicer()
    await watch.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(watch, server)
    add_SplitInferenceServicer_to_server(servicer, server)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return watch


def _bind(server: grpc.aio.Server, address: Address, transport: grpc.ServerCredentials | None) -> int:
    try:
        if transport is None:
            return server.add_insecure_port(str(address))
        return server.add_secure_port(str(address), transport)
    except RuntimeError as error:  # taken between the check and now
        raise ConfigError(f"cannot listen on {address}: {error}") from None
