"""The check of tokens before any handler sees a call."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import unquote

import grpc
from grpc_health.v1 import health

from splitwire.refusals import Refusals
from splitwire.tokens import REFUSAL, Tokens

__all__ = ["Gate"]

#: Load balancers and orchestrators ask for it, and have no tokens. It says whether the cloud serves, no more.
_OPEN = f"/{health.SERVICE_NAME}/"

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"

_log = logging.getLogger(__name__)


class Gate(grpc.aio.ServerInterceptor):
    """Ends calls of every method but grpc.health's as UNAUTHENTICATED where they show none of the tokens.

    A call shows one in its metadata, `authorization: Bearer TOKEN`. A stream is checked when it begins.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._refusals = Refusals(_log)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        shown = dict(handler_call_details.invocation_metadata).get("authorization")
        if handler_call_details.method.startswith(_OPEN) or self._tokens.accepts(_text(shown)):
            return await continuation(handler_call_details)
        # Of either side a stream: it begins before a message has arrived, and suits every kind of call.
        return grpc.stream_stream_rpc_method_handler(self._refuse)

    async def _refuse(self, _: object, context: _Context) -> None:
        self._refusals.note(unquote(context.peer().rpartition(":")[0]), REFUSAL)
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, REFUSAL)


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
