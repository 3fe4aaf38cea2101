"""Every unary method refuses bytes that are no message; what is none of them stays gRPC's business."""

import grpc
import pytest

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
