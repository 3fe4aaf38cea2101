"""Images that there is no room for are turned away before anything else is done for them."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.admission import Admission
from edge.problems import Problem, respond

__all__ = ["TurnAway", "Turnstile"]

_MOST_DIGITS = 6


class Turnstile:
    """Knows which requests there is no room for, by their heads.

    path: where images are posted. seconds: a request's deadline, unless it names its own.
    """

    def __init__(self, admission: Admission, *, path: str, seconds: float) -> None:
        self._admission = admission
        self._path, self._seconds = path, seconds

    @property
    def full(self) -> bool:
        """Whether any can be turned away now."""
        return self._admission.full

    def check(self, scope: Scope) -> None:
        """Raises:
        Problem: it is an image that there is no room for.
        """
        if scope["type"] == "http" and scope["path"] == self._path and scope["method"] == "POST":
            self._admission.check(self._allowed(scope))

    def turns_away(self, scope: Scope) -> bool:
        try:
            self.check(scope)
        except Problem:
            return True
        return False

    def _allowed(self, scope: Scope) -> float:
        """Seconds. What is no deadline is refused later."""
        given = Headers(scope=scope).get("x-deadline-ms", "")
        return int(given) / 1000 if given.isdecimal() and len(given) <= _MOST_DIGITS else self._seconds


class TurnAway:
    """An ASGI application around another, which sees nothing of whom `turnstile` turns away.

    They are answered at once, without routing, validation, or a byte of the body.
    """

    def __init__(self, app: ASGIApp, turnstile: Turnstile) -> None:
        self._app, self._turnstile = app, turnstile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._turnstile.check(scope)
        except Problem as problem:
            await respond(problem.kind, problem.detail)(scope, receive, send)
            return
        await self._app(scope, receive, send)
