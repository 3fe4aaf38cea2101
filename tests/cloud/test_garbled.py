"""Every unary method refuses bytes that are no message; what is none of them stays gRPC's business."""

from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from protos.service import FORWARD_STREAM, SERVICE
from splitwire.bundle import Bundle
from tests.cloud.serving import PATIENCE, Serving, health, make_request

_SERVING = 1


@pytest.mark.parametrize(
    "method",
    [
        "/splitwire.v1.SplitInference/Forward",
        "/splitwire.v1.SplitInference/Describe",
        "/grpc.health.v1.Health/Check",
    ],
)
def test_garbled_requests_are_invalid(cloud: Serving, method: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        cloud.channel.unary_unary(method, bytes, bytes)(b"\xff" * 50, timeout=PATIENCE)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "method", ["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", FORWARD_STREAM]
)
def test_of_a_stream_too(cloud: Serving, method: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(cloud.channel.stream_stream(method, bytes, bytes)(iter([b"\xff" * 50]), timeout=PATIENCE))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not [record for record in caplog.records if record.exc_info]


def test_of_a_watch_too(cloud: Serving, caplog: pytest.LogCaptureFixture) -> None:
    watch = cloud.channel.unary_stream("/grpc.health.v1.Health/Watch", bytes, bytes)
    with pytest.raises(grpc.RpcError) as caught:
        next(watch(b"\xff" * 50, timeout=PATIENCE))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not [record for record in caplog.records if record.exc_info]


def test_watches_and_reflection_go_on(cloud: Serving) -> None:
    watching: Any = HealthStub(cloud.channel)
    reflecting: Any = ServerReflectionStub(cloud.channel)
    watch = watching.Watch(HealthCheckRequest(service=SERVICE), timeout=PATIENCE)
    assert next(watch).status == _SERVING
    watch.cancel()
    asked = ServerReflectionRequest(list_services="")
    (answer,) = reflecting.ServerReflectionInfo(iter([asked]), timeout=PATIENCE)
    assert SERVICE in {service.name for service in answer.list_services_response.service}


def test_messages_and_streams_pass(cloud: Serving, tiny_bundle: Bundle) -> None:
    request = make_request(tiny_bundle, id=7)
    assert cloud.stub.Forward(request, timeout=PATIENCE).HasField("frame")
    assert [reply.id for reply in cloud.stub.ForwardStream(iter([request]), timeout=PATIENCE)] == [7]
    assert health(cloud.channel) == _SERVING


def test_a_method_that_is_not_there_is_unimplemented(cloud: Serving) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        cloud.channel.unary_unary("/splitwire.v1.SplitInference/Backward", bytes, bytes)(
            b"", timeout=PATIENCE
        )
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
