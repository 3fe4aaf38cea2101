"""The `edge` command: parse, build, run."""

import logging
import sys
from pathlib import Path

from edge.config import FALLBACKS, EdgeConfig
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
  edge --bundle models/cifar10 --cloud 10.0.0.7:50051 10.0.0.8:50051
  curl -F image=@cat.jpg localhost:8000/classify
  curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' 'localhost:8000/classify?top_k=3'
  curl -F image=@cat.jpg -H 'X-Deadline-Ms: 200' localhost:8000/classify

When it is ready it prints to stderr:  edge: serving NAME DIGEST on http://HOST:PORT
It starts without a cloud too, and finds it when it comes (back): /readyz says whether it is there.
Until then, and whenever the cloud does not answer in time, the edge runs all layers itself: the same
answer, whose `route` says local, and `reason` why.

routes:
  POST /classify     one image (JPEG, PNG, WebP) as multipart field `image` or as the body itself
  GET  /healthz      the process is alive
  GET  /readyz       images are classified: with a cloud (route split) or without (local)
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
        clouds = tuple(map(Address.parse, parsed.pop("cloud")))
        config = EdgeConfig(**parsed | {"cloud": clouds, "listen": Address.parse(parsed["listen"])})
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
    add(
        "--cloud",
        nargs="+",
        default=list(map(str, defaults.cloud)),
        metavar="HOST:PORT",
        help=f"the cloud, or several that are asked in turn (default: {defaults.cloud[0]})",
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
