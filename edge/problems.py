"""Every error that the edge answers with, as RFC 9457 documents (application/problem+json)."""

import http
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException

from edge.observation import Failure, note_failure
from splitwire.errors import (
    BundleMismatch,
    CloudBusy,
    CloudRefused,
    CloudRejected,
    CloudUnavailable,
    DeadlineExceeded,
    FrameError,
    ImageTooLarge,
    ReloadRefused,
    SplitwireError,
    UndecodableImage,
    UnsupportedImage,
)
from splitwire.ids import new_uuid

__all__ = [
    "BAD_MULTIPART",
    "BAD_PARAMETER",
    "BAD_REPLY",
    "BODY_TOO_LARGE",
    "BODY_TOO_SLOW",
    "BUNDLE_REFUSED",
    "BUSY",
    "CLOUD_BUSY",
    "CLOUD_REFUSED",
    "CLOUD_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "INTERNAL",
    "MEDIA_TYPE",
    "NO_IMAGE",
    "OF_CLASSIFY",
    "OF_CLOUD",
    "OF_RELOAD",
    "OTHER_BUNDLE",
    "RELOAD_REFUSED",
    "SHUTTING_DOWN",
    "TOO_MANY_PIXELS",
    "UNAUTHENTICATED",
    "UNDECODABLE_IMAGE",
    "UNSUPPORTED_TYPE",
    "Kind",
    "Problem",
    "ProblemDocument",
    "handle_problems",
    "kind_of",
    "respond",
]

MEDIA_TYPE = "application/problem+json"

#: By status, beside the document: when to come back, what to show, and that the rest of the body is not
#: waited for (RFC 9110, sections 10.2.3, 11.6.1 and 15.5.9).
_HEADERS = {
    503: {"Retry-After": "1"},
    401: {"WWW-Authenticate": 'Bearer realm="splitwire"'},
    408: {"Connection": "close"},
}

_URN = "urn:splitwire:problem:"


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of problem."""

    status: int
    name: str
    title: str

    @property
    def type(self) -> str:
        return f"{_URN}{self.name}"


UNAUTHENTICATED = Kind(401, "unauthenticated", "A token is needed")
BODY_TOO_SLOW = Kind(408, "body-too-slow", "The request body did not arrive in time")
RELOAD_REFUSED = Kind(409, "reload-refused", "The bundle cannot change now")
BODY_TOO_LARGE = Kind(413, "body-too-large", "The image file is too large")
UNSUPPORTED_TYPE = Kind(415, "unsupported-image-type", "Not an accepted image type")
UNDECODABLE_IMAGE = Kind(422, "undecodable-image", "The image cannot be decoded")
TOO_MANY_PIXELS = Kind(422, "too-many-pixels", "The image takes more to decode than is allowed")
BAD_MULTIPART = Kind(422, "bad-multipart", "The multipart body cannot be read")
NO_IMAGE = Kind(422, "no-image", "There is no image in the request")
BAD_PARAMETER = Kind(422, "bad-parameter", "A parameter has a value that is not accepted")
BUNDLE_REFUSED = Kind(422, "bundle-refused", "The bundle cannot be served")
INTERNAL = Kind(500, "internal-error", "The edge failed")
BAD_REPLY = Kind(502, "bad-cloud-reply", "The cloud refused the request, or its reply makes no sense")
CLOUD_REFUSED = Kind(502, "cloud-refused", "The cloud does not accept the edge's credentials")
CLOUD_UNAVAILABLE = Kind(503, "cloud-unavailable", "The cloud cannot be reached")
CLOUD_BUSY = Kind(503, "cloud-busy", "Too many requests are waiting in the cloud")
OTHER_BUNDLE = Kind(503, "bundle-mismatch", "The cloud serves another bundle")
BUSY = Kind(503, "busy", "Too many requests are waiting")
SHUTTING_DOWN = Kind(503, "shutting-down", "The edge shut down before there was an answer")
DEADLINE_EXCEEDED = Kind(504, "deadline-exceeded", "There was no answer within the deadline")

#: Whatever may go wrong with the cloud.
OF_CLOUD = (BAD_REPLY, CLOUD_REFUSED, CLOUD_UNAVAILABLE, CLOUD_BUSY, OTHER_BUNDLE, DEADLINE_EXCEEDED)

#: Whatever may go wrong with an image that is to be classified.
OF_CLASSIFY = (
    UNAUTHENTICATED,
    BODY_TOO_SLOW,
    BODY_TOO_LARGE,
    UNSUPPORTED_TYPE,
    UNDECODABLE_IMAGE,
    TOO_MANY_PIXELS,
    BAD_MULTIPART,
    NO_IMAGE,
    BAD_PARAMETER,
    INTERNAL,
    BUSY,
    SHUTTING_DOWN,
    *OF_CLOUD,
)

#: And with a reload.
OF_RELOAD = (UNAUTHENTICATED, RELOAD_REFUSED, BUNDLE_REFUSED, INTERNAL, SHUTTING_DOWN)

_KINDS: dict[type[SplitwireError], Kind] = {
    UnsupportedImage: UNSUPPORTED_TYPE,
    UndecodableImage: UNDECODABLE_IMAGE,
    ImageTooLarge: TOO_MANY_PIXELS,
    CloudUnavailable: CLOUD_UNAVAILABLE,
    CloudBusy: CLOUD_BUSY,
    BundleMismatch: OTHER_BUNDLE,
    CloudRefused: CLOUD_REFUSED,
    CloudRejected: BAD_REPLY,
    DeadlineExceeded: DEADLINE_EXCEEDED,
    FrameError: BAD_REPLY,
    ReloadRefused: RELOAD_REFUSED,
}


@dataclass(frozen=True, slots=True)
class ProblemDocument:
    """RFC 9457, section 3. instance: this occurrence, which the edge's log names too."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


#: Writes them, in compiled code.
_DOCUMENTS = TypeAdapter(ProblemDocument)


class Problem(Exception):
    """Raised where a request cannot be served for a reason of HTTP, not of the kernel."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def kind_of(error: SplitwireError) -> Kind:
    """INTERNAL for what a client is not told."""
    return next((kind for error_type, kind in _KINDS.items() if isinstance(error, error_type)), INTERNAL)


def handle_problems(app: FastAPI) -> None:
    """Have `app` answer with a problem document whatever goes wrong."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(SplitwireError, _on_splitwire_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_exception)


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return respond(error.kind, error.detail)


async def _on_splitwire_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SplitwireError)
    kind = kind_of(error)
    return await _on_exception(request, error) if kind is INTERNAL else respond(kind, str(error))


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = (f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in error.errors())
    return respond(BAD_PARAMETER, "; ".join(faults))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """404, 405 and whatever else the framework refuses by itself: their status says it all."""
    assert isinstance(error, HTTPException)
    title = http.HTTPStatus(error.status_code).phrase
    detail = f"{request.method} {request.url.path}: {error.detail}"
    return _send(ProblemDocument("about:blank", title, error.status_code, detail, _new_id()), error.headers)


async def _on_exception(_: Request, error: Exception) -> Response:
    return respond(INTERNAL, "an unexpected error; the edge's log has it under this instance", error)


def respond(kind: Kind, detail: str, cause: Exception | None = None) -> Response:
    """A problem's answer. cause: what nobody expected; the log has it, in the request's line."""
    document = ProblemDocument(kind.type, kind.title, kind.status, detail, _new_id())
    return _send(document, _HEADERS.get(kind.status), cause)


def _send(
    document: ProblemDocument, headers: Mapping[str, str] | None, cause: Exception | None = None
) -> Response:
    name = document.type.removeprefix(_URN)
    note_failure(Failure(name, document.detail, document.instance, cause))
    return Response(_DOCUMENTS.dump_json(document), document.status, headers, media_type=MEDIA_TYPE)


def _new_id() -> str:
    return f"urn:uuid:{new_uuid()}"
