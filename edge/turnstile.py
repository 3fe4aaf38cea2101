"""Images that there is no room for are sent away before anything else is done for them."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.admission import Admission
from edge.problems import Problem, respond

__all__ = ["Turnstile"]

_MOST_DIGITS = 6


class Turnstile:
    """Answers 503 where the edge is full, without routing, validation, or a byte of the body.

    path: where images are posted. seconds: a request's deadline, unless it names its own.
    """

    def __init__(self, app: ASGIApp, admission: Admission, *, path: str, seconds: float) -> None:
        self._app, self._admission = app, admission
        self._path, self._seconds = path, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == self._path and scope["method"] == "POST":
            try:
                self._admission.check(self._allowed(scope))
            except Problem as problem:
                await respond(problem.kind, problem.detail)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _allowed(self, scope: Scope) -> float:
        """Seconds. What is no deadline is refused later."""
        given = Headers(scope=scope).get("x-deadline-ms", "")
        return int(given) / 1000 if given.isdecimal() and len(given) <= _MOST_DIGITS else self._seconds
