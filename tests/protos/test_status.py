import grpc
import pytest

from protos.status import error_from_status, status_from_error
from splitwire.errors import (
    BundleMismatch,
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudRejected,
    CloudUnavailable,
    CorruptPayload,
    DeadlineExceeded,
    FrameError,
    PlanError,
    ShapeMismatch,
)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BundleMismatch(), grpc.StatusCode.FAILED_PRECONDITION),
        (DeadlineExceeded(), grpc.StatusCode.DEADLINE_EXCEEDED),
        (CloudUnavailable(), grpc.StatusCode.UNAVAILABLE),
        (CloudBusy(), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (CloudRefused(), grpc.StatusCode.UNAUTHENTICATED),
        (FrameError(), grpc.StatusCode.INVALID_ARGUMENT),
        (ShapeMismatch(), grpc.StatusCode.INVALID_ARGUMENT),
        (CorruptPayload(), grpc.StatusCode.INVALID_ARGUMENT),
        (PlanError(), grpc.StatusCode.INTERNAL),
        (ZeroDivisionError(), grpc.StatusCode.INTERNAL),
    ],
)
def test_each_error_has_its_status(error: Exception, status: grpc.StatusCode) -> None:
    assert status_from_error(error) is status


@pytest.mark.parametrize(
    "kind", [BundleMismatch, DeadlineExceeded, CloudUnavailable, CloudBusy, CloudRefused]
)
def test_an_error_of_the_cloud_arrives_as_itself(kind: type[CloudError]) -> None:
    code, _ = status_from_error(kind()).value
    error = error_from_status(code, "why")
    assert type(error) is kind
    assert str(error) == "why"


def test_a_proxy_may_refuse_credentials_in_other_words() -> None:
    assert type(error_from_status(grpc.StatusCode.PERMISSION_DENIED.value[0], "why")) is CloudRefused


@pytest.mark.parametrize("code", [0, 3, 10, 13, 99, -1])
def test_any_other_status_is_a_rejection(code: int) -> None:
    assert type(error_from_status(code, "why")) is CloudRejected
