"""The `cloud` command: parse, build, run."""

import asyncio
import os
import sys
from pathlib import Path

from cloud.config import METRICS_LOOPBACK, CloudConfig
from cloud.credentials import Credentials
from cloud.server import serve
from splitwire.address import Address
from splitwire.command_line import LOG_LEVELS, Parser, add_tracing, add_watching, spare_imports, take
from splitwire.errors import SplitwireError
from splitwire.logs import configure
from splitwire.memory import return_large_blocks
from splitwire.otlp import Otlp
from splitwire.scheduling import let_work_finish

__all__ = ["main"]

_DESCRIPTION = """\
Serve the body of a split network: the cloud's part of a bundle.

The edge runs the first layers and sends small quantized tensors; this server unpacks them,
runs the layers in between, and sends the last activation back, for the edge to finish.
Both sides must hold the same bundle: a request for one that is not held here is refused."""

_EPILOG = """\
examples:
  cloud --bundle models/cifar10
  cloud --bundle models/cifar10 --threads 4 --workers 2
  cloud --bundle models/cifar10 --max-batch 1              (every image is computed by itself)
  cloud --bundle models/cifar10 --listen 127.0.0.1:0       (the system chooses the port)
  cloud --bundle models/cifar10 --metrics --log-format json
  cloud --bundle models/new --also models/old              (during a change: edges have either)
  cloud --bundle models/cifar10 --listen 0.0.0.0:50051 \\
    --tls-cert cloud.crt --tls-key cloud.key --tls-client-ca ca.crt --token-file tokens

When it is ready it prints to stderr:  cloud: serving NAME DIGEST on HOST:PORT

services:
  splitwire.v1.SplitInference, grpc.health.v1.Health and server reflection. With tokens, a call of
  any but Health shows one in its metadata: authorization: Bearer TOKEN. Without --token-file the
  tokens are those of the environment variable SPLITWIRE_TOKEN, where it is set, one a line.
  docs/security.md says how to make certificates, and what they protect.

batching:
  What comes while every worker is busy waits, and is computed together, up to --max-batch images
  at a time; the answers are those that each would get alone. A lone request waits for nobody,
  unless --max-delay-us says so. What comes when --max-queue images wait already is refused at
  once, as RESOURCE_EXHAUSTED.

monitoring, with --metrics, unencrypted and open to whoever reaches it (docs/operations.md):
  GET /metrics       Prometheus' text format
  GET /healthz       the process is alive
  GET /readyz        requests are answered; 503 while it drains

reloading:
  SIGHUP reads --bundle's folder again. Another bundle that is found there is verified, warmed up,
  then served; the one before goes on answering those who name it, until the next takes its place.
  A bundle that cannot be served changes nothing; one line of the log says why.

stopping:
  SIGTERM or SIGINT (Ctrl-C) drains: health turns NOT_SERVING, new requests are refused as
  UNAVAILABLE, those in flight are finished. A second signal ends the process at once.

exit status:
  0  stopped by a signal, drained
  2  something on the command line cannot work; one line on stderr says what"""


def main(arguments: list[str] | None = None) -> int:
    parsed = vars(_parser().parse_args(arguments))
    try:
        parsed["token"] = os.environ.get("SPLITWIRE_TOKEN") if parsed["token_file"] is None else None
        values = {
            "credentials": take(Credentials, parsed),
            "tracing": take(Otlp, parsed),
            "listen": Address.parse(parsed["listen"]),
            "metrics": parsed["metrics"] and Address.parse(parsed["metrics"]),
        }
        config = CloudConfig(**parsed | values)
        configure("cloud", level=config.log_level, form=config.log_format)
        let_work_finish()
        return_large_blocks()
        spare_imports()
        asyncio.run(serve(config))
    except SplitwireError as error:
        print(f"cloud: error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> Parser:
    parser = Parser("cloud", _DESCRIPTION, _EPILOG)
    defaults = CloudConfig(Path())
    add = parser.add_argument
    add("--bundle", type=Path, required=True, metavar="DIR", help="the bundle to serve (a folder)")
    add(
        "--also",
        type=Path,
        metavar="DIR",
        help="another bundle, for edges that have it; given up at the first reload",
    )
    add(
        "--listen",
        default=str(defaults.listen),
        metavar="HOST:PORT",
        help="where to listen; port 0 lets the system choose (default: %(default)s)",
    )
    for name, number, unit, text in (
        ("threads", defaults.threads, "N", "ONNX Runtime threads within one computation"),
        ("workers", defaults.workers, "N", "computations at the same time; by default one a core"),
        ("max-rows", defaults.max_rows, "N", "most images in one request; message limits follow from it"),
        ("max-batch", defaults.max_batch, "N", "most images in one computation, of several requests"),
        ("max-delay-us", defaults.max_delay_us, "US", "how long a batch that is not full is held back"),
        ("max-queue", defaults.max_queue, "N", "most images that wait for a worker; at least --max-rows"),
        ("max-connections", defaults.max_connections, "N", "open connections; further ones are closed"),
    ):
        add(f"--{name}", type=int, default=number, metavar=unit, help=f"{text} (default: %(default)s)")
    add(
        "--drain-seconds",
        type=float,
        default=defaults.drain_seconds,
        metavar="S",
        help="how long a stop waits for requests in flight (default: %(default)g)",
    )
    add(
        "--log-level",
        choices=LOG_LEVELS,
        default=defaults.log_level,
        metavar="LEVEL",
        help=f"{', '.join(LOG_LEVELS)}; debug names every request, info those that failed "
        "(default: %(default)s)",
    )
    add_watching(parser, METRICS_LOOPBACK)
    add_tracing(parser)
    _add_credentials(parser)
    return parser


def _add_credentials(parser: Parser) -> None:
    for name, text in (
        (
            "tls-cert",
            "certificate in PEM, shown to clients: with it, calls are encrypted; read again when it changes",
        ),
        ("tls-key", "the certificate's private key in PEM"),
        ("tls-client-ca", "clients must show a certificate of this authority (PEM)"),
        ("token-file", "clients must show one of these tokens, one a line; read again when it changes"),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=text)
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="listen beyond loopback without encryption and credentials, in a network that you trust",
    )


if __name__ == "__main__":
    sys.exit(main())
