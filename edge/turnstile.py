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

    def refusal(self, scope: Scope) -> Problem | None:
        """Why there is no room for it; None where there is, and of all that is no image."""
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] != "POST":
            return None
        try:
            self._admission.check(self._allowed(scope))
        except Problem as problem:
            return problem
        return None

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
        problem = self._turnstile.refusal(scope)
        answer = self._app if problem is None else respond(problem.kind, problem.detail)
        await answer(scope, receive, send)
