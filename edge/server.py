"""The edge as a process: from loading the bundle to the last answer."""

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import uvicorn

from edge.access import CloudAccess
from edge.app import make_app
from edge.client import CloudClient
from edge.config import EdgeConfig
from edge.discovery import Found, make_replicas
from edge.holder import Holder
from edge.metrics import EdgeMetrics, pages_of
from edge.pipeline import Pipeline
from edge.protocol import KEEP_ALIVE_SECONDS, BoundedProtocol
from edge.replica import Replica
from edge.replicas import Replicas
from edge.retry_budget import RetryBudget
from edge.route import MOST_RESERVED
from edge.spans import EdgeSpans
from splitwire import compiled
from splitwire.address import Address, reason
from splitwire.bundle import Bundle
from splitwire.errors import ConfigError
from splitwire.logs import announce
from splitwire.pages import Pages
from splitwire.renewal import Renewed

__all__ = ["make_holder", "make_pipeline", "serve"]

#: Beyond the deadline, for the answer to be written. Clients may ask for a longer deadline, not for a longer
#: stop: whoever sends the signal would lose patience, and end the process without an answer to anybody.
_DRAIN_SECONDS = 5

_BACKLOG = 2048

#: Connections that are taken in one turn of the event loop: uvloop takes one for each socket that listens,
#: and those that come at once would wait for as many turns.
_ACCEPTED = 8

_log = logging.getLogger(__name__)


def make_pipeline(config: EdgeConfig) -> Pipeline:
    """Load the bundle and its graphs; a cloud is called when the first image comes.

    Raises:
        BundleError: there is no such bundle, or it cannot be served.
        ConfigError: what the cloud is to be shown cannot be used.
    """
    return make_holder(config).current.pipeline


def make_holder(config: EdgeConfig) -> Holder:
    """As `make_pipeline`, and able to reload."""
    found: Found = {}  # known to each bundle's replicas: names may not resolve just when it is reloaded
    make = partial(_make, config, config.cloud_credentials.load(), found)
    return Holder(config.bundle, make, make(Bundle.load(config.bundle)))


def _make(config: EdgeConfig, access: CloudAccess, found: Found, bundle: Bundle) -> Pipeline:
    with contextlib.ExitStack() as undo:
        cloud = _make_replicas(config, bundle, access, found)
        undo.callback(cloud.close)
        pipeline = Pipeline(bundle, cloud, threads=config.threads, local=config.fallback == "local")
        undo.pop_all()
    _warn_of_late_answers(pipeline.body_seconds, config.deadline_ms)
    return pipeline


def _warn_of_late_answers(body_seconds: float, deadline_ms: int) -> None:
    """Where the local route may not be done in what it is left."""
    if 1000 * body_seconds > MOST_RESERVED * deadline_ms:
        _log.warning(
            "the cloud's layers take %.0f ms here, more than half of --deadline-ms %d: "
            "without the cloud answers may be late",
            1000 * body_seconds,
            deadline_ms,
        )


def _make_replicas(config: EdgeConfig, bundle: Bundle, access: CloudAccess, found: Found) -> Replicas:
    uplink, downlink = bundle.manifest.uplink, bundle.manifest.downlink
    budget = RetryBudget()

    def make(address: Address, name: str | None, on_fault: Callable[[], None]) -> Replica:
        reached = access.found_by(name)
        return Replica(
            CloudClient(
                str(address), bundle.digest, uplink=uplink, downlink=downlink, access=reached, budget=budget
            ),
            on_fault,
        )

    return make_replicas(config.cloud, make, budget, found)


def serve(config: EdgeConfig) -> None:
    """Serve until SIGTERM or SIGINT, then finish what takes no longer than `--deadline-ms` and a little.
    A second signal ends the process at once. SIGHUP reloads.

    Raises:
        BundleError: as `make_pipeline`.
        ConfigError: an address cannot be listened on, a certificate, key or token cannot be used, or spans
            cannot be exported.
    """
    certificate = config.credentials.certificate()
    hangup = _Hangup()
    holder, metrics = make_holder(config), EdgeMetrics()
    with (
        _listen(config.listen) as listener,
        _monitoring(config, metrics) as watched,
        _exporting(config) as spans,
    ):
        address = Address(config.listen.host, listener.getsockname()[1])
        url = f"{'https' if config.credentials.encrypt else 'http'}://{address}"
        ready = [f"serving {holder.current} on {url}"]
        ready += [f"metrics on http://{watched}/metrics"] if watched is not None else []
        ready += [] if compiled.BUILT else [compiled.NOT_BUILT]
        settings = _uvicorn_config(config, holder, metrics, spans)
        if certificate is not None:
            _renew(settings, certificate)
        server = _Server(settings, holder, hangup, ready, config.log_format)
        server.run(sockets=[listener, *(listener.dup() for _ in range(_ACCEPTED - 1))])


class _Hangup:
    """SIGHUP, from when this is made: until then it ends the process. asked: whether it came and waits."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGHUP, self._on_signal)

    def _on_signal(self, _: int, __: object) -> None:
        self.asked = True


class _Server(uvicorn.Server):
    """Says when it is ready, takes a stop signal for an order, not for a failure, and reloads on a hangup."""

    def __init__(
        self, config: uvicorn.Config, holder: Holder, hangup: _Hangup, ready: Sequence[str], log_format: str
    ) -> None:
        super().__init__(config)
        self._holder, self._hangup = holder, hangup
        self._reload: asyncio.Task[None] | None = None
        self._ready = ready
        self._log_format = log_format

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for message in self._ready:
            announce("edge", message, form=self._log_format)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second, until it is to stop. Any number of hangups during a reload is one more."""
        if self._hangup.asked and (self._reload is None or self._reload.done()):
            self._hangup.asked = False
            self._reload = asyncio.create_task(_reload(self._holder))
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again at the end, and so would end with its status.
        def on_first(_: int, __: object) -> None:
            self.should_exit = True
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, lambda *_: _log.warning("not reloaded: the edge is shutting down"))

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_first)
        yield


async def _reload(holder: Holder) -> None:
    with contextlib.suppress(Exception):  # it has been logged
        await holder.reload()


@contextlib.contextmanager
def _monitoring(config: EdgeConfig, metrics: EdgeMetrics) -> Iterator[Address | None]:
    """Where monitoring is answered meanwhile; None is nowhere."""
    if config.metrics is None:
        yield None
        return
    with contextlib.closing(Pages(config.metrics, pages_of(metrics))) as pages:
        yield pages.address


@contextlib.contextmanager
def _exporting(config: EdgeConfig) -> Iterator[EdgeSpans | None]:
    """What exports spans meanwhile; None does not."""
    recorder = config.tracing.open("edge")
    if recorder is None:
        yield None
        return
    with contextlib.closing(recorder):
        yield EdgeSpans(recorder)


def _uvicorn_config(
    config: EdgeConfig, holder: Holder, metrics: EdgeMetrics, spans: EdgeSpans | None
) -> uvicorn.Config:
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, logging.getLogger().level))
    application = make_app(config, holder, metrics, spans)
    return uvicorn.Config(
        application.asgi,
        http=partial(BoundedProtocol, turnstile=application.turnstile),  # type: ignore[arg-type]  # is called
        ws="none",
        limit_concurrency=config.max_connections,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ssl_certfile=config.credentials.tls_cert,
        ssl_keyfile=config.credentials.tls_key,
        log_config=None,
        access_log=False,  # observer.py writes one
        server_header=False,
        timeout_graceful_shutdown=config.deadline_ms // 1000 + _DRAIN_SECONDS,
    )


def _renew(settings: uvicorn.Config, certificate: Renewed[ssl.SSLContext]) -> None:
    """Have each handshake show the certificate as its files hold it then."""
    settings.load()
    assert settings.ssl is not None

    def choose(connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        connection.context = certificate.current

    settings.ssl.sni_callback = choose  # called whether or not the client names a host


def _listen(address: Address) -> socket.socket:
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((address.host, address.port), family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as e:
        raise ConfigError(f"cannot listen on {address}: {reason(e)}") from None
    # Accepted connections inherit it. An answer's headers and body are two writes, and without it the
    # second waits for the client's delayed acknowledgement of the first: 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
