"""The check of tokens before any route sees a request."""

import logging

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.problems import UNAUTHENTICATED, respond
from splitwire.refusals import Refusals
from splitwire.tokens import REFUSAL, Tokens

__all__ = ["Gate"]

#: Load balancers and orchestrators ask for them, and have no tokens.
_OPEN = ("/healthz", "/readyz")

#: What is below it needs tokens of its own, where there are any.
_ADMIN = "/admin/"

_log = logging.getLogger(__name__)


class Gate:
    """Answers 401 on every path but /healthz and /readyz, where a request shows none of the tokens.

    admin: those for paths below /admin; None: the others'. tokens: None opens the other paths.
    A request shows one as `Authorization: Bearer TOKEN` (RFC 6750, section 2.1). Its body is not read before.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens | None, admin: Tokens | None = None) -> None:
        self._app = app
        self._tokens = tokens
        self._admin = tokens if admin is None else admin
        self._refusals = Refusals(_log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in _OPEN or self._accepts(scope):
            await self._app(scope, receive, send)
            return
        host = scope["client"][0] if scope.get("client") else "somebody"
        self._refusals.note(host, REFUSAL)
        await respond(UNAUTHENTICATED, f"{REFUSAL}, as Authorization: Bearer TOKEN")(scope, receive, send)

    def _accepts(self, scope: Scope) -> bool:
        tokens = self._admin if scope["path"].startswith(_ADMIN) else self._tokens
        return tokens is None or tokens.accepts(Headers(scope=scope).get("authorization"))
