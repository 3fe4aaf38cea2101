"""Bytes that are no message: a client's mistake, for which gRPC itself knows only UNKNOWN."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from protos.service import FORWARD_STREAM

__all__ = ["RefuseGarbled"]

_NO_MESSAGE = "the bytes are no message of this method's"

_log = logging.getLogger(__name__)

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class RefuseGarbled(grpc.aio.ServerInterceptor):
    """Has all methods refuse them as INVALID_ARGUMENT; but ForwardStream reads by itself, and can tell."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method == FORWARD_STREAM:  # None: no such method
            return handler
        read, write = _message_or_none(handler.request_deserializer), handler.response_serializer
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(_refusing(handler.unary_unary), read, write)
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(_refusing(handler.unary_stream), read, write)
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(_refusing_any(handler.stream_stream), read, write)
        return handler


def _message_or_none(parse: Any) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return None

    return read


def _refusing(answer: Any) -> Any:
    """A handler of one request."""

    async def answer_or_refuse(request: Any, context: Any) -> Any:
        await _check(request, context)
        return await answer(request, context)

    return answer_or_refuse


def _refusing_any(answer: Any) -> Any:
    """A handler of many, which is a generator."""

    async def checked(requests: Any, context: Any) -> Any:
        async for request in requests:
            await _check(request, context)
            yield request

    async def answer_or_refuse(requests: Any, context: Any) -> Any:
        async for reply in answer(checked(requests, context), context):
            yield reply

    return answer_or_refuse


async def _check(request: Any, context: Any) -> None:
    if request is None:
        _log.info("INVALID_ARGUMENT: %s, from %s", _NO_MESSAGE, context.peer())
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _NO_MESSAGE)
