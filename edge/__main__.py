"""The `edge` command: parse, build, run."""

import os
import sys
from pathlib import Path
from typing import Any

from edge.config import FALLBACKS, METRICS_LOOPBACK, EdgeConfig
from edge.credentials import CloudCredentials, Credentials
from edge.names import parse_cloud
from edge.server import serve
from splitwire.address import Address
from splitwire.command_line import LOG_LEVELS, Parser, add_tracing, add_watching, spare_imports, take
from splitwire.errors import SplitwireError
from splitwire.logs import configure
from splitwire.memory import return_large_blocks
from splitwire.otlp import Otlp
from splitwire.scheduling import let_work_finish

__all__ = ["main"]

_DESCRIPTION = """\
Classify images over REST, with a cloud's help: the edge's part of a bundle.

The edge decodes an image, runs the first layers and sends a small quantized tensor to the cloud;
what comes back goes through the last layers, and the answer names the label, where the
milliseconds went and how many bytes travelled. Both sides must hold the same bundle."""

_EPILOG = """\
examples:
  edge --bundle models/cifar10
  edge --bundle models/cifar10 --cloud 10.0.0.7:50051 --deadline-ms 500
  edge --bundle models/cifar10 --cloud 10.0.0.7:50051 10.0.0.8:50051
  edge --bundle models/cifar10 --cloud dns:///clouds.example:50051
  edge --bundle models/cifar10 --metrics --log-format json
  edge --bundle models/cifar10 --cloud cloud.example:50051 --listen 0.0.0.0:8000 --token-file tokens \\
    --tls-cert rest.crt --tls-key rest.key --cloud-token-file cloud-tokens \\
    --cloud-ca ca.crt --cloud-cert edge.crt --cloud-key edge.key
  curl -F image=@cat.jpg localhost:8000/classify
  curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' 'localhost:8000/classify?top_k=3'
  curl -F image=@cat.jpg -H 'X-Deadline-Ms: 200' localhost:8000/classify

When it is ready it prints to stderr:  edge: serving NAME DIGEST on http://HOST:PORT
It is https with --tls-cert. It starts without a cloud too, and finds it when it comes (back): /readyz
says whether it is there. Until then, and whenever the cloud does not answer in time, the edge runs all
layers itself: the same answer, whose `route` says local, and `reason` why.

routes:
  POST /classify     one image (JPEG, PNG, WebP) as multipart field `image` or as the body itself
  GET  /healthz      the process is alive
  GET  /readyz       images are classified: with a cloud (route split) or without (local)
  GET  /model        labels, split plan, boundaries, preprocessing, measured accuracy
  GET  /docs         all of this, to read and to try; /openapi.json for machines
  POST /admin/reload as SIGHUP, with an admin token alone (see credentials); without any there is no such path

credentials:
  With tokens, a request for anything but /healthz, /readyz, /docs and /openapi.json shows one:
  Authorization: Bearer TOKEN.
  Token files have one token a line. Without them the tokens are those of the environment variables
  SPLITWIRE_TOKEN (shown by clients), SPLITWIRE_ADMIN_TOKEN (shown for /admin instead) and
  SPLITWIRE_CLOUD_TOKEN (shown to the cloud), where set.
  docs/security.md says how to make certificates, and what they protect.

monitoring, with --metrics, unencrypted and open to whoever reaches it (docs/operations.md):
  GET  /metrics      Prometheus' text format
  GET  /healthz      the process is alive

reloading:
  SIGHUP reads --bundle's folder again. Another bundle that is found there is verified, warmed up,
  then served; requests end with the bundle that they began with. A bundle that cannot be served
  changes nothing; one line of the log says why. Clouds come first (docs/operations.md).

stopping:
  SIGTERM or SIGINT (Ctrl-C) finishes the requests in flight, for at most --deadline-ms and 5 s; what is
  not answered then, as it has a longer X-Deadline-Ms or its body still comes, is a 503 (shutting-down).
  A second signal ends the process.

exit status:
  0  stopped by a signal
  2  something on the command line cannot work; one line on stderr says what"""


def main(arguments: list[str] | None = None) -> int:
    parsed = vars(_parser().parse_args(arguments))
    try:
        addresses = {
            "tracing": take(Otlp, parsed),
            "cloud": tuple(map(parse_cloud, parsed["cloud"])),
            "listen": Address.parse(parsed["listen"]),
            "metrics": parsed["metrics"] and Address.parse(parsed["metrics"]),
        }
        config = EdgeConfig(**_with_credentials(parsed) | addresses)
        configure("edge", level=config.log_level, form=config.log_format)
        let_work_finish()
        return_large_blocks()
        spare_imports()
        serve(config)
    except SplitwireError as error:
        print(f"edge: error: {error}", file=sys.stderr)
        return 2
    return 0


def _with_credentials(parsed: dict[str, Any]) -> dict[str, Any]:
    for token, variable in (
        ("token", "SPLITWIRE_TOKEN"),
        ("admin_token", "SPLITWIRE_ADMIN_TOKEN"),
        ("cloud_token", "SPLITWIRE_CLOUD_TOKEN"),
    ):
        parsed[token] = os.environ.get(variable) if parsed[f"{token}_file"] is None else None
    values = {"credentials": take(Credentials, parsed), "cloud_credentials": take(CloudCredentials, parsed)}
    return parsed | values


def _parser() -> Parser:
    parser = Parser("edge", _DESCRIPTION, _EPILOG)
    defaults = EdgeConfig(Path())
    add = parser.add_argument
    add("--bundle", type=Path, required=True, metavar="DIR", help="the bundle to serve (a folder)")
    add(
        "--cloud",
        nargs="+",
        default=list(map(str, defaults.cloud)),
        metavar="HOST:PORT",
        help="the cloud, or several that are asked in turn; dns:///HOST:PORT is all of the host's addresses, "
        f"which may change (default: {defaults.cloud[0]})",
    )
    add(
        "--fallback",
        choices=FALLBACKS,
        default=defaults.fallback,
        help="who answers when no cloud does in time: the edge, which then runs all layers, or nobody "
        "(default: %(default)s)",
    )
    add(
        "--listen",
        default=str(defaults.listen),
        metavar="HOST:PORT",
        help="where to listen; port 0 lets the system choose (default: %(default)s)",
    )
    for name, number, unit, text in (
        ("threads", defaults.threads, "N", "ONNX Runtime threads within one graph"),
        ("deadline-ms", defaults.deadline_ms, "MS", "most time from a request's last byte to its answer"),
        ("max-image-bytes", defaults.max_image_bytes, "BYTES", "largest image file that is accepted"),
        ("max-concurrency", defaults.max_concurrency, "N", "images classified at a time; others wait"),
        ("max-connections", defaults.max_connections, "N", "open HTTP connections; further ones are closed"),
    ):
        add(f"--{name}", type=int, default=number, metavar=unit, help=f"{text} (default: %(default)s)")
    add(
        "--log-level",
        choices=LOG_LEVELS,
        default=defaults.log_level,
        help="debug names every request, info those that failed (default: %(default)s)",
    )
    add_watching(parser, METRICS_LOOPBACK)
    add_tracing(parser)
    _add_credentials(parser)
    return parser


def _add_credentials(parser: Parser) -> None:
    add = parser.add_argument
    for name, text in (
        ("tls-cert", "certificate in PEM, shown to clients: with it, REST is https"),
        ("tls-key", "the certificate's private key in PEM"),
        ("token-file", "clients must show one of these tokens, one a line; read again when it changes"),
        ("admin-token-file", "whoever shows one of these tokens may have the edge reload its bundle"),
        (
            "cloud-ca",
            "the cloud must show a certificate of this authority (PEM): with it, calls are encrypted",
        ),
        ("cloud-cert", "certificate in PEM, shown to the cloud"),
        ("cloud-key", "that certificate's private key in PEM"),
        ("cloud-token-file", "the first of these tokens is shown to the cloud; read again when it changes"),
    ):
        add(f"--{name}", type=Path, metavar="FILE", help=text)
    add(
        "--cloud-name",
        metavar="NAME",
        help="whom the cloud's certificate names (default: the host of --cloud)",
    )
    add(
        "--insecure",
        action="store_true",
        help="in a network that you trust: listen beyond loopback without tokens, "
        "and send the cloud's in the clear",
    )


if __name__ == "__main__":
    sys.exit(main())
