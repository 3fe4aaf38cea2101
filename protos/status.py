"""Splitwire errors <-> gRPC status codes: the cloud answers by this table, the edge reads by it."""

import grpc

from splitwire.errors import (
    BundleMismatch,
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudRejected,
    CloudUnavailable,
    DeadlineExceeded,
    FrameError,
)

__all__ = ["error_from_status", "status_from_error"]

_STATUS: dict[type[Exception], grpc.StatusCode] = {
    BundleMismatch: grpc.StatusCode.FAILED_PRECONDITION,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    CloudUnavailable: grpc.StatusCode.UNAVAILABLE,
    CloudBusy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    CloudRefused: grpc.StatusCode.UNAUTHENTICATED,
    FrameError: grpc.StatusCode.INVALID_ARGUMENT,
}
_ERROR: dict[int, type[CloudError]] = {
    status.value[0]: error for error, status in _STATUS.items() if issubclass(error, CloudError)
}
_ERROR[grpc.StatusCode.PERMISSION_DENIED.value[0]] = CloudRefused  # what a proxy in between may say


def status_from_error(error: Exception) -> grpc.StatusCode:
    """INTERNAL for what is not in the table: a fault of the server, not of the request."""
    matches = (status for kind, status in _STATUS.items() if isinstance(error, kind))
    return next(matches, grpc.StatusCode.INTERNAL)


def error_from_status(code: int, message: str) -> CloudError:
    """What the edge raises for a status `code`, as the integer that is on the wire."""
    return _ERROR.get(code, CloudRejected)(message)
