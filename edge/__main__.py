"""The `edge` command: parse, build, run."""

import logging
import sys
from pathlib import Path

from edge.config import EdgeConfig
from edge.server import serve
from splitwire.address import Address
from splitwire.command_line import LOG_LEVELS, Parser
from splitwire.errors import SplitwireError

__all__ = ["main"]

_DESCRIPTION = """\
Classify images over REST, with a cloud's help: the edge's part of a bundle.

The edge decodes an image, runs the first layers and sends a small quantized tensor to the cloud;
what comes back goes through the last layers, and the answer names the label, where the
milliseconds went and how many bytes travelled. Both sides must hold the same bundle."""

_EPILOG = """\
examples:
  edge --bundle models/cifar10
  edge --bundle models/cifar10 --cloud 10.0.0.7:50051 --listen 0.0.0.0:8000 --deadline-ms 500
  curl -F image=@cat.jpg localhost:8000/classify
  curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' 'localhost:8000/classify?top_k=3'

When it is ready it prints to stderr:  edge: serving NAME DIGEST on http://HOST:PORT
It starts without a cloud too, and finds it when it comes (back): /readyz says whether it is there.

routes:
  POST /classify     one image (JPEG, PNG, WebP) as multipart field `image` or as the body itself
  GET  /healthz      the process is alive
  GET  /readyz       the cloud is there too, and serves the same bundle
  GET  /model        labels, split plan, boundaries, preprocessing, measured accuracy
  GET  /docs         all of this, to read and to try; /openapi.json for machines

stopping:
  SIGTERM or SIGINT (Ctrl-C) finishes the requests in flight. A second signal ends the process.

exit status:
  0  stopped by a signal
  2  something on the command line cannot work; one line on stderr says what"""


def main(arguments: list[str] | None = None) -> int:
    parsed = vars(_parser().parse_args(arguments))
    try:
        addresses = {name: Address.parse(parsed[name]) for name in ("cloud", "listen")}
        config = EdgeConfig(**parsed | addresses)
        logging.basicConfig(format="edge: %(message)s", level=config.log_level.upper())
        serve(config)
    except SplitwireError as error:
        print(f"edge: error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> Parser:
    parser = Parser("edge", _DESCRIPTION, _EPILOG)
    defaults = EdgeConfig(Path())
    add = parser.add_argument
    add("--bundle", type=Path, required=True, metavar="DIR", help="the bundle to serve (a folder)")
    for name, default, text in (
        ("cloud", defaults.cloud, "the cloud's address"),
        ("listen", defaults.listen, "where to listen; port 0 lets the system choose"),
    ):
        add(f"--{name}", default=str(default), metavar="HOST:PORT", help=f"{text} (default: %(default)s)")
    for name, number, unit, text in (
        ("threads", defaults.threads, "N", "ONNX Runtime threads within one graph"),
        ("deadline-ms", defaults.deadline_ms, "MS", "most time from a request's last byte to its answer"),
        ("max-image-bytes", defaults.max_image_bytes, "BYTES", "largest image file that is accepted"),
        ("max-concurrency", defaults.max_concurrency, "N", "images classified at a time; others wait"),
    ):
        add(f"--{name}", type=int, default=number, metavar=unit, help=f"{text} (default: %(default)s)")
    add(
        "--log-level",
        choices=LOG_LEVELS,
        default=defaults.log_level,
        help="debug also names every request (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
