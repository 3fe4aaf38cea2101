"""The cloud as a process: a gRPC server around its bundles, from listening to drained."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator
from functools import partial

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cloud.config import CloudConfig
from cloud.garbled import RefuseGarbled
from cloud.health import Health
from cloud.held import Held
from cloud.holder import Holder
from cloud.limits import max_request_bytes
from cloud.listening import check_free
from cloud.metrics import CloudMetrics, pages_of
from cloud.observer import Observer
from cloud.servicer import Servicer
from cloud.spans import CloudSpans
from protos.probing import bdp_probe
from protos.service import SERVICE
from protos.splitwire_pb2_grpc import add_SplitInferenceServicer_to_server
from splitwire import compiled
from splitwire.address import Address
from splitwire.bundle import Bundle
from splitwire.errors import ConfigError
from splitwire.frame import max_payload_bytes
from splitwire.logs import announce
from splitwire.pages import Pages
from splitwire.spans import Recorder

__all__ = ["CloudServer", "serve"]

#: After the drain only health watchers and the last writes are left.
_FLUSH_SECONDS = 0.5

_log = logging.getLogger(__name__)


class CloudServer:
    """A server that is listening; made by `start`, ended by `drain`."""

    def __init__(
        self,
        holder: Holder,
        metrics: CloudMetrics,
        address: Address,
        server: grpc.aio.Server,
        servicer: Servicer,
        watched: Health,
        pages: Pages | None,
        recorder: Recorder | None,
    ) -> None:
        self.holder, self.metrics = holder, metrics
        self.address = address
        self._server = server
        self._servicer = servicer
        self._health = watched
        self._pages = pages
        self._recorder = recorder

    @classmethod
    async def start(cls, config: CloudConfig) -> "CloudServer":
        """Load the bundles, warm them up, listen.

        Raises:
            BundleError: there is no such bundle, or it cannot be served.
            ConfigError: the address cannot be listened on, a certificate, key or token cannot be used,
                max-rows needs impossible messages, or spans cannot be exported.
        """
        transport, gates = config.credentials.transport(), config.credentials.gates()
        bundles = _load(config)
        uplinks = [one.manifest.uplink for one in bundles]
        message_bytes = max(max_request_bytes(uplink, config.max_rows) for uplink in uplinks)
        probe = bdp_probe(max(max_payload_bytes(uplink, 1) for uplink in uplinks))
        options = [probe, *_options(message_bytes, config.max_connections)]
        check_free(config.listen)
        metrics = CloudMetrics()
        holder = _make_holder(config, bundles, message_bytes, metrics)
        metrics.watch(holder)
        recorder = config.tracing.open("cloud")
        spans = None if recorder is None else CloudSpans(recorder)
        servicer = Servicer(holder, observer=Observer(metrics, spans))
        server = grpc.aio.server(interceptors=[*gates, RefuseGarbled()], options=options)
        watched = _add_services(server, servicer)
        address = Address(config.listen.host, _bind(server, config.listen, transport))
        pages = _open_pages(config, metrics, servicer)
        await server.start()
        return cls(holder, metrics, address, server, servicer, watched, pages, recorder)

    @property
    def metrics_address(self) -> Address | None:
        """Where monitoring is answered; None is nowhere."""
        return None if self._pages is None else self._pages.address

    async def drain(self, seconds: float) -> None:
        """Refuse new requests, finish those in flight for at most `seconds`, and stop."""
        self.holder.end_reloads()
        self._health.drain()
        finished = await self._servicer.drain(seconds)
        if not finished:
            _log.warning("requests were still in flight after %g s; they are cut off", seconds)
        await self._server.stop(_FLUSH_SECONDS if finished else None)
        self.holder.close()
        if self._pages is not None:
            self._pages.close()
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.close)


def _open_pages(config: CloudConfig, metrics: CloudMetrics, servicer: Servicer) -> Pages | None:
    if config.metrics is None:
        return None
    return Pages(config.metrics, pages_of(metrics, lambda: not servicer.draining))


def _load(config: CloudConfig) -> list[Bundle]:
    """The current one, and the other where there is one."""
    bundles = [Bundle.load(config.bundle)]
    if config.also is not None:
        other = Bundle.load(config.also)
        bundles += [other] if other.digest != bundles[0].digest else []
    return bundles


def _make_holder(
    config: CloudConfig, bundles: list[Bundle], message_bytes: int, metrics: CloudMetrics
) -> Holder:
    hold = partial(Held.make, config=config, message_bytes=message_bytes, note_rows=metrics.note_rows)
    return Holder(config.bundle, hold, *map(hold, bundles), note=metrics.reloads.add)


async def serve(config: CloudConfig) -> None:
    """Serve until SIGTERM or SIGINT, then drain. A second signal ends the process at once. SIGHUP reloads.

    Raises:
        SplitwireError: as `CloudServer.start`.
    """
    stop, hangup = _stop_signal(), _hangup_signal()
    server = await CloudServer.start(config)
    _announce(server, config)
    with _reloading(server.holder, hangup):
        await stop.wait()
        _log.info("draining: finishing what is in flight, for at most %g s", config.drain_seconds)
        await server.drain(config.drain_seconds)
    _log.info("stopped")


def _announce(server: CloudServer, config: CloudConfig) -> None:
    holder = server.holder
    announce("cloud", f"serving {holder.current} on {server.address}", form=config.log_format)
    if holder.other is not None:
        announce("cloud", f"holding {holder.other} too", form=config.log_format)
    if server.metrics_address is not None:
        announce("cloud", f"metrics on http://{server.metrics_address}/metrics", form=config.log_format)
    if not compiled.BUILT:
        announce("cloud", compiled.NOT_BUILT, form=config.log_format)


@contextlib.contextmanager
def _reloading(holder: Holder, hangup: asyncio.Event) -> Iterator[None]:
    """Meanwhile each hangup reloads; any number of them during one is another one."""

    async def reload() -> None:
        while await hangup.wait():
            hangup.clear()
            await holder.reload()

    task = asyncio.create_task(reload())
    try:
        yield
    finally:
        task.cancel()


def _hangup_signal() -> asyncio.Event:
    hangup = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup.set)
    return hangup


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


def _add_services(server: grpc.aio.Server, servicer: Servicer) -> Health:
    watched = Health(SERVICE)
    health_pb2_grpc.add_HealthServicer_to_server(watched, server)
    add_SplitInferenceServicer_to_server(servicer, server)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return watched


def _bind(server: grpc.aio.Server, address: Address, transport: grpc.ServerCredentials | None) -> int:
    try:
        if transport is None:
            return server.add_insecure_port(str(address))
        return server.add_secure_port(str(address), transport)
    except RuntimeError as error:  # taken between the check and now
        raise ConfigError(f"cannot listen on {address}: {error}") from None
