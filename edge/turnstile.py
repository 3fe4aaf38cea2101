"""Images that there is no room for are turned away before anything else is done for them."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from edge.admission import Admission
from edge.problems import Problem, respond

__all__ = ["TurnAway", "Turnstile"]

_DEADLINE = b"x-deadline-ms"
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
        return self._admission.refusal(self._allowed(scope["headers"]))

    def _allowed(self, headers: Iterable[tuple[bytes, bytes]]) -> float:
        """Seconds. What is no deadline is refused later."""
        given = next((value for name, value in headers if name == _DEADLINE), b"")
        return int(given) / 1000 if given.isdigit() and len(given) <= _MOST_DIGITS else self._seconds


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
