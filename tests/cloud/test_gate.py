from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cloud.credentials import Credentials
from protos import splitwire_pb2 as pb
from splitwire import renewal as renewal_module
from splitwire.bundle import Bundle
from tests.cloud.serving import PATIENCE, Serving, health, make_request, serving

TOKEN, SECOND = "first-first-first-1", "second-second-second-2"
RIGHT = (("authorization", f"Bearer {TOKEN}"),)

#: What a client may show besides a right token: nothing, and what is not quite one.
WRONG: list[tuple[tuple[str, str], ...]] = [
    (),
    (("authorization", "Bearer wrong-wrong-wrong-wrong"),),
    (("authorization", f"Bearer {TOKEN[:-1]}"),),
    (("authorization", TOKEN),),
    (("token", f"Bearer {TOKEN}"),),
]

Call = Callable[[Serving, Bundle, Any], Any]


@pytest.fixture(scope="module")
def guarded(tiny_bundle: Bundle) -> Iterator[Serving]:
    with serving(tiny_bundle.path, credentials=Credentials(token=f"{TOKEN}\n{SECOND}")) as cloud:
        yield cloud


def forward(cloud: Serving, bundle: Bundle, metadata: Any) -> object:
    return cloud.stub.Forward(make_request(bundle), timeout=PATIENCE, metadata=metadata)


def stream(cloud: Serving, bundle: Bundle, metadata: Any) -> object:
    requests = iter([make_request(bundle)])
    return next(cloud.stub.ForwardStream(requests, timeout=PATIENCE, metadata=metadata))


def describe(cloud: Serving, _: Bundle, metadata: Any) -> object:
    return cloud.stub.Describe(pb.DescribeRequest(), timeout=PATIENCE, metadata=metadata)


def reflect(cloud: Serving, _: Bundle, metadata: Any) -> object:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(cloud.channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    return next(stub.ServerReflectionInfo(requests, timeout=PATIENCE, metadata=metadata))


every_method = pytest.mark.parametrize("call", [forward, stream, describe, reflect])


@every_method
@pytest.mark.parametrize("token", [TOKEN, SECOND])
def test_any_of_the_tokens_opens_it(guarded: Serving, tiny_bundle: Bundle, call: Call, token: str) -> None:
    assert call(guarded, tiny_bundle, (("authorization", f"Bearer {token}"),)) is not None


@every_method
@pytest.mark.parametrize("metadata", WRONG)
def test_nothing_else_does_and_the_answer_reveals_nothing(
    guarded: Serving, tiny_bundle: Bundle, call: Call, metadata: Any
) -> None:
    assert refusal(lambda: call(guarded, tiny_bundle, metadata)) == "a valid token is needed"


def test_a_method_that_there_is_not_is_not_told_from_one_that_there_is(guarded: Serving) -> None:
    unknown: Any = guarded.channel.unary_unary("/splitwire.v1.SplitInference/Nothing")
    assert refusal(lambda: unknown(b"", timeout=PATIENCE)) == "a valid token is needed"


def test_health_is_open(guarded: Serving) -> None:
    assert health(guarded.channel) == health_pb2.HealthCheckResponse.SERVING
    stub: Any = health_pb2_grpc.HealthStub(guarded.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def test_a_peer_is_logged_once_and_never_with_what_it_showed(
    tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(tiny_bundle.path, credentials=Credentials(token=TOKEN)) as cloud:
        for metadata in WRONG:
            refusal(lambda metadata=metadata: forward(cloud, tiny_bundle, metadata))  # type: ignore[misc]
    [said] = [record.message for record in caplog.records if "refused" in record.message]
    assert said == "ipv4:127.0.0.1 was refused: a valid token is needed (said once a minute)"
    assert "wrong" not in caplog.text
    assert TOKEN not in caplog.text


def test_a_removed_token_ends_with_the_next_call_and_not_within_a_stream(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal_module, "_CHECK_SECONDS", 0.0)
    file = tmp_path / "tokens"
    file.write_text(TOKEN)
    with serving(tiny_bundle.path, credentials=Credentials(token_file=file)) as cloud:
        outbox: SimpleQueue[pb.ForwardRequest | None] = SimpleQueue()
        replies = cloud.stub.ForwardStream(iter(outbox.get, None), timeout=PATIENCE, metadata=RIGHT)
        outbox.put(make_request(tiny_bundle, id=1))
        assert next(replies).id == 1
        file.write_text(SECOND)
        refusal(lambda: describe(cloud, tiny_bundle, RIGHT))
        outbox.put(make_request(tiny_bundle, id=2))
        outbox.put(None)
        assert [reply.id for reply in replies] == [2]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    return caught.value.details() or ""
