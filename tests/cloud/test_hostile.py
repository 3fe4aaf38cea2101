"""Requests that no edge sends: each is answered once, and the server goes on serving."""

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protos import splitwire_pb2 as pb
from splitwire.bundle import Bundle
from splitwire.frame import max_payload_bytes
from tests.cloud.serving import PATIENCE, Serving, StreamClient, make_request

_INVALID = grpc.StatusCode.INVALID_ARGUMENT.value[0]

_with_fixtures = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def _answers(cloud: Serving, requests: list[pb.ForwardRequest]) -> list[pb.ForwardReply]:
    """The replies, in the order of the requests; one each, over one stream that ends well."""
    stream = StreamClient(cloud.stub)
    for number, request in enumerate(requests):
        request.id = number
        stream.send(request)
    stream.half_close()
    replies = sorted(stream.receive_rest(), key=lambda reply: reply.id)
    assert [reply.id for reply in replies] == list(range(len(requests)))
    assert stream.status()[0] is grpc.StatusCode.OK
    return replies


def _assert_serving(cloud: Serving, bundle: Bundle) -> None:
    assert cloud.stub.Forward(make_request(bundle), timeout=PATIENCE).HasField("frame")


def test_a_payload_cut_anywhere_is_invalid(cloud: Serving, tiny_bundle: Bundle) -> None:
    whole = make_request(tiny_bundle).frame.payload
    requests = [make_request(tiny_bundle) for _ in whole]
    for length, request in enumerate(requests):
        request.frame.payload = whole[:length]
    assert {reply.error.code for reply in _answers(cloud, requests)} == {_INVALID}
    _assert_serving(cloud, tiny_bundle)


def test_a_payload_with_any_byte_flipped_is_answered(cloud: Serving, tiny_bundle: Bundle) -> None:
    """A flip inside the symbols makes other symbols: those are computed, all else is refused."""
    whole = make_request(tiny_bundle).frame.payload
    requests = [make_request(tiny_bundle) for _ in whole]
    for at, request in enumerate(requests):
        request.frame.payload = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
    for reply in _answers(cloud, requests):
        assert reply.HasField("frame") or reply.error.code == _INVALID
    _assert_serving(cloud, tiny_bundle)


@_with_fixtures
@given(payload=st.binary(max_size=600), packing=st.integers(-1, 5))
def test_any_payload_is_answered(cloud: Serving, tiny_bundle: Bundle, payload: bytes, packing: int) -> None:
    request = make_request(tiny_bundle)
    request.frame.payload = payload
    request.frame.packing = packing  # type: ignore[assignment]
    (reply,) = _answers(cloud, [request])
    assert reply.HasField("frame") or reply.error.code == _INVALID


@pytest.mark.parametrize(
    "shape",
    [
        (1,),
        (1, 8, 8),
        (1, 8, 8, 9),
        (0, 8, 8, 8),
        (9, 8, 8, 8),
        (2**32 - 1, 8, 8, 8),
        (1, 2**16, 2**16, 2**32 - 1),
        (1, 8, 8, 8, 1),
        (1,) * 2000,
    ],
)
def test_another_shape_is_invalid(cloud: Serving, tiny_bundle: Bundle, shape: tuple[int, ...]) -> None:
    request = make_request(tiny_bundle)
    request.frame.shape[:] = shape
    (reply,) = _answers(cloud, [request])
    assert reply.error.code == _INVALID
    assert 0 < len(reply.error.message) <= 500
    with pytest.raises(grpc.RpcError) as caught:  # in unary calls the message travels as metadata
        cloud.stub.Forward(request, timeout=PATIENCE)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    _assert_serving(cloud, tiny_bundle)


@pytest.mark.parametrize("bits", [1, 3, 5, 8, 32, 2**32 - 1])
def test_another_symbol_width_is_invalid(cloud: Serving, tiny_bundle: Bundle, bits: int) -> None:
    request = make_request(tiny_bundle)
    request.frame.bits = bits
    (reply,) = _answers(cloud, [request])
    assert reply.error.code == _INVALID


@pytest.mark.parametrize("digest", [b"", bytes(8), bytes(7), bytes(3000)])
def test_another_digest_is_a_failed_precondition(cloud: Serving, tiny_bundle: Bundle, digest: bytes) -> None:
    request = make_request(tiny_bundle)
    request.bundle_digest = digest
    (reply,) = _answers(cloud, [request])
    assert reply.error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]


def test_a_payload_beyond_the_shapes_limit_is_invalid(cloud: Serving, tiny_bundle: Bundle) -> None:
    request = make_request(tiny_bundle)
    request.frame.payload = bytes(max_payload_bytes(tiny_bundle.manifest.uplink, 1) + 1)
    (reply,) = _answers(cloud, [request])
    assert reply.error.code == _INVALID


def test_an_oversize_message_ends_its_stream_alone(cloud: Serving, tiny_bundle: Bundle) -> None:
    oversize = make_request(tiny_bundle)
    oversize.frame.payload = bytes(1 << 20)
    stream, bystander = StreamClient(cloud.stub), StreamClient(cloud.stub)
    bystander.send(make_request(tiny_bundle))
    bystander.receive()
    stream.send(oversize)
    assert stream.status()[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    bystander.send(make_request(tiny_bundle, id=5))
    assert bystander.receive().id == 5
    bystander.half_close()


def test_a_compressed_message_is_refused_before_it_is_inflated(cloud: Serving, tiny_bundle: Bundle) -> None:
    bomb = make_request(tiny_bundle)
    bomb.frame.payload = bytes(1 << 20)
    with pytest.raises(grpc.RpcError) as caught:
        cloud.stub.Forward(bomb, timeout=PATIENCE, compression=grpc.Compression.Gzip)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    _assert_serving(cloud, tiny_bundle)


def test_bytes_that_are_no_message_end_their_call_alone(cloud: Serving, tiny_bundle: Bundle) -> None:
    garbage = b"\xff" * 50
    method = "/splitwire.v1.SplitInference/Forward"
    with pytest.raises(grpc.RpcError) as unary:
        cloud.channel.unary_unary(method, bytes, bytes)(garbage, timeout=PATIENCE)
    with pytest.raises(grpc.RpcError) as stream:
        list(cloud.channel.stream_stream(f"{method}Stream", bytes, bytes)(iter([garbage]), timeout=PATIENCE))
    assert isinstance(unary.value, grpc.Call)
    assert unary.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert unary.value.details() == "the bytes are no message of this method's"
    assert isinstance(stream.value, grpc.Call)
    assert stream.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert stream.value.details() == "expected a message of type splitwire.v1.ForwardRequest"
    _assert_serving(cloud, tiny_bundle)
