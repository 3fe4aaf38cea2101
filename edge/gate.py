"""Which token opens which path, and the check of it before any route sees a request."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.problems import UNAUTHENTICATED, respond
from splitwire.tokens import REFUSAL, Tokens

__all__ = ["Gate", "is_admin", "is_open"]

#: Load balancers and orchestrators ask for health, and browsers for documents: neither shows tokens.
_OPEN = ("/healthz", "/readyz", "/docs", "/openapi.json")

_ADMIN = "/admin/"


def is_open(path: str) -> bool:
    """Whether no token is ever asked for."""
    return path in _OPEN


def is_admin(path: str) -> bool:
    """Whether it needs tokens of its own, where there are any."""
    return path.startswith(_ADMIN)


class Gate:
    """Answers 401 on every path that is not open, where a request shows none of the tokens.

    admin: those for admin's paths; None: the others'. tokens: None opens the other paths.
    A request shows one as `Authorization: Bearer TOKEN` (RFC 6750, section 2.1). Its body is not read before.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens | None, admin: Tokens | None = None) -> None:
        self._app = app
        self._tokens = tokens
        self._admin = tokens if admin is None else admin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or is_open(scope["path"]) or self._accepts(scope):
            await self._app(scope, receive, send)
            return
        await respond(UNAUTHENTICATED, f"{REFUSAL}, as Authorization: Bearer TOKEN")(scope, receive, send)

    def _accepts(self, scope: Scope) -> bool:
        tokens = self._admin if is_admin(scope["path"]) else self._tokens
        return tokens is None or tokens.accepts(Headers(scope=scope).get("authorization"))
