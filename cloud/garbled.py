"""Bytes that are no message: a client's mistake, for which gRPC itself knows only UNKNOWN."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

__all__ = ["RefuseGarbled"]

_NO_MESSAGE = "the bytes are no message of this method's"

_log = logging.getLogger(__name__)

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class RefuseGarbled(grpc.aio.ServerInterceptor):
    """Has unary calls refuse them as INVALID_ARGUMENT; a stream's handler reads by itself, and can tell."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:  # no such method, or a stream
            return handler
        return grpc.unary_unary_rpc_method_handler(
            _refusing(handler.unary_unary),
            _message_or_none(handler.request_deserializer),
            handler.response_serializer,
        )


def _message_or_none(parse: Any) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return None

    return read


def _refusing(answer: Any) -> Any:
    async def answer_or_refuse(request: Any, context: Any) -> Any:
        if request is None:
            _log.info("INVALID_ARGUMENT: %s, from %s", _NO_MESSAGE, context.peer())
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _NO_MESSAGE)
        return await answer(request, context)

    return answer_or_refuse
