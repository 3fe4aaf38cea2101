"""A reload changes which bundle is served and nothing else; one that cannot be served changes nothing."""

import asyncio
import json
import logging
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from cloud.body import Body
from protos import splitwire_pb2 as pb
from protos.convert import frame_from_message
from splitwire.bundle import Bundle
from splitwire.frame import decode
from tests.bundles import tiny_bundle as make_bundle
from tests.cloud.serving import PATIENCE, Serving, StreamClient, make_request, make_symbols, serving


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Three that fit each other's frames and answer differently."""
    folder = tmp_path_factory.mktemp("bundles")
    return [make_bundle(folder / f"{seed}", name=f"seed-{seed}", seed=seed) for seed in range(3)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the cloud's bundle lies."""
    return tmp_path / "bundle"


@pytest.fixture
def cloud(folder: Path, bundles: list[Bundle]) -> Iterator[Serving]:
    """A cloud that serves the first of `bundles` from `folder`, a link."""
    folder.symlink_to(bundles[0].path)
    with serving(folder) as running:
        yield running


def put(folder: Path, bundle: Bundle) -> None:
    """As `ln -sfn` does."""
    folder.unlink()
    folder.symlink_to(bundle.path)


def answers(cloud: Serving, bundle: Bundle) -> bool:
    """Whether a request for `bundle` has the symbols of its own graph; False: it is not held."""
    call = cloud.stub.Forward.future(make_request(bundle), timeout=PATIENCE)
    if call.exception() is not None:
        assert call.code() is grpc.StatusCode.FAILED_PRECONDITION
        return False
    reply = call.result()
    downlink = bundle.manifest.downlink
    returned = decode(frame_from_message(reply.frame, downlink), downlink)
    np.testing.assert_array_equal(returned, bundle.engine("body").run(make_symbols(bundle)))
    return True


def described(cloud: Serving, digest: bytes = b"") -> bytes:
    request = pb.DescribeRequest(bundle_digest=digest)
    return cloud.stub.Describe(request, timeout=PATIENCE).bundle_digest


def reloads(cloud: Serving) -> dict[tuple[str, ...], int]:
    return {key: count for key, count in cloud.server.metrics.reloads.sums().items() if count}


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_bundles_of_a_fleet_differ(bundles: list[Bundle]) -> None:
    """Or the tests below would not see who answered."""
    symbols = make_symbols(bundles[0])
    returned = [bundle.engine("body").run(symbols) for bundle in bundles]
    assert len({symbols.tobytes() for symbols in returned}) == 3


def test_the_new_one_is_served_and_the_one_before_to_those_who_name_it(
    cloud: Serving, folder: Path, bundles: list[Bundle]
) -> None:
    assert [answers(cloud, bundle) for bundle in bundles] == [True, False, False]
    put(folder, bundles[1])
    cloud.reload()
    assert [answers(cloud, bundle) for bundle in bundles] == [True, True, False]
    put(folder, bundles[2])
    cloud.reload()
    assert [answers(cloud, bundle) for bundle in bundles] == [False, True, True]
    assert reloads(cloud) == {("swapped",): 2}


def test_a_folder_that_was_replaced_is_read_again(tmp_path: Path, bundles: list[Bundle]) -> None:
    folder = Path(shutil.copytree(bundles[0].path, tmp_path / "bundle"))
    with serving(folder) as cloud:
        make_bundle(folder, name="seed-1", seed=1)
        cloud.reload()
        assert [answers(cloud, bundle) for bundle in bundles] == [True, True, False]


def test_each_is_described_to_those_who_have_it(cloud: Serving, folder: Path, bundles: list[Bundle]) -> None:
    put(folder, bundles[1])
    cloud.reload()
    digests = [bundle.digest for bundle in bundles]
    assert described(cloud) == digests[1]
    assert [described(cloud, digest) for digest in digests] == [digests[0], digests[1], digests[1]]


def test_a_stream_carries_requests_for_both(cloud: Serving, folder: Path, bundles: list[Bundle]) -> None:
    stream = StreamClient(cloud.stub)
    stream.send(make_request(bundles[0], id=1))
    assert stream.receive().HasField("frame")
    put(folder, bundles[1])
    cloud.reload()
    stream.send(*(make_request(bundle, id=i) for i, bundle in enumerate(bundles)))
    stream.half_close()
    replies = {reply.id: reply.WhichOneof("result") for reply in stream.receive_rest()}
    assert replies == {0: "frame", 1: "frame", 2: "error"}


def test_a_refusal_names_what_is_held(cloud: Serving, folder: Path, bundles: list[Bundle]) -> None:
    put(folder, bundles[1])
    cloud.reload()
    with pytest.raises(grpc.RpcError) as caught:
        cloud.stub.Forward(make_request(bundles[2]), timeout=PATIENCE)
    assert isinstance(caught.value, grpc.Call)
    assert all(bundle.digest.hex() in (caught.value.details() or "") for bundle in bundles)


def test_the_same_bundle_is_no_change(
    cloud: Serving, bundles: list[Bundle], caplog: pytest.LogCaptureFixture
) -> None:
    before = cloud.server.holder.current
    with caplog.at_level(logging.INFO):
        cloud.reload()
    assert cloud.server.holder.current is before
    assert reloads(cloud) == {("unchanged",): 1}
    assert f"seed-0 {bundles[0].digest.hex()} is unchanged" in caplog.text


def test_back_again_is_no_new_engine(cloud: Serving, folder: Path, bundles: list[Bundle]) -> None:
    first = cloud.server.holder.current
    put(folder, bundles[1])
    cloud.reload()
    put(folder, bundles[0])
    cloud.reload()
    assert cloud.server.holder.current is first
    assert [answers(cloud, bundle) for bundle in bundles] == [True, True, False]


def remove_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def damage_the_body(folder: Path) -> None:
    body = folder / "body.onnx"
    body.write_bytes(body.read_bytes()[:-1] + b"?")


def lose_the_tail(folder: Path) -> None:
    (folder / "tail.onnx").unlink()


def write_nonsense(folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps({"format": 99}))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (remove_the_manifest, "there is no manifest.json"),
        (damage_the_body, "body.onnx is not the file that the manifest names"),
        (lose_the_tail, "tail.onnx is missing"),
        (write_nonsense, "not reloaded: "),
    ],
)
def test_what_cannot_be_served_changes_nothing_and_says_why(
    cloud: Serving,
    folder: Path,
    bundles: list[Bundle],
    tmp_path: Path,
    spoil: Callable[[Path], None],
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spoilt = Path(shutil.copytree(bundles[1].path, tmp_path / "spoilt"))
    spoil(spoilt)
    folder.unlink()
    folder.symlink_to(spoilt)
    cloud.reload()
    assert [answers(cloud, bundle) for bundle in bundles] == [True, False, False]
    assert reloads(cloud) == {("refused",): 1}
    (line,) = (record.getMessage() for record in caplog.records if record.name == "cloud.holder")
    assert why in line
    assert f"seed-0 {bundles[0].digest.hex()} goes on being served" in line
    put(folder, bundles[1])
    cloud.reload()
    assert answers(cloud, bundles[1]), "and the next attempt counts"


def test_a_fault_of_our_own_leaves_the_old_one_too(
    cloud: Serving, folder: Path, bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, bundles[1])
    with monkeypatch.context() as patch:
        patch.setattr(Body, "__init__", lambda *_, **__: 1 / 0)
        cloud.reload()
    assert reloads(cloud) == {("refused",): 1}
    assert [answers(cloud, bundle) for bundle in bundles] == [True, False, False]


def test_of_two_reloads_at_once_the_second_waits(cloud: Serving, folder: Path, bundles: list[Bundle]) -> None:
    put(folder, bundles[1])

    async def both() -> None:
        await asyncio.gather(cloud.server.holder.reload(), cloud.server.holder.reload())

    asyncio.run_coroutine_threadsafe(both(), cloud.loop).result(PATIENCE)
    assert reloads(cloud) == {("swapped",): 1, ("unchanged",): 1}


def test_what_is_in_flight_finishes_with_the_bundle_it_named(tmp_path: Path) -> None:
    slow = [make_bundle(tmp_path / f"{seed}", seed=seed, body_repeats=3000) for seed in range(3)]
    folder = tmp_path / "bundle"
    folder.symlink_to(slow[0].path)
    with serving(folder, workers=1, max_batch=1) as cloud:
        stream = StreamClient(cloud.stub)
        stream.send(*(make_request(slow[0], id=i) for i in range(5)))
        stream.receive()
        for bundle in slow[1:]:
            put(folder, bundle)
            cloud.reload()
        assert not answers(cloud, slow[0])
        replies = [stream.receive() for _ in range(4)]
        assert [reply.WhichOneof("result") for reply in replies] == ["frame"] * 4
        downlink = slow[0].manifest.downlink
        expected = slow[0].engine("body").run(make_symbols(slow[0]))
        for reply in replies:
            returned = decode(frame_from_message(reply.frame, downlink), downlink)
            np.testing.assert_array_equal(returned, expected)
        stream.half_close()


def test_what_was_replaced_twice_is_freed(cloud: Serving, folder: Path, bundles: list[Bundle]) -> None:
    assert all(answers(cloud, bundles[0]) for _ in range(10))
    gone = weakref.ref(cloud.server.holder.current.body)
    workers = set(cloud.server.holder.current.body._batcher._pool._threads)
    for bundle in bundles[1:]:
        put(folder, bundle)
        cloud.reload()
        assert answers(cloud, bundle)
    until(lambda: gone() is None)  # without the garbage collector, which cannot see how large graphs are
    until(lambda: not any(worker.is_alive() for worker in workers))


def test_a_cloud_may_begin_with_two(tmp_path: Path, bundles: list[Bundle]) -> None:
    folder = tmp_path / "bundle"
    folder.symlink_to(bundles[0].path)
    with serving(folder, also=bundles[1].path) as cloud:
        assert [answers(cloud, bundle) for bundle in bundles] == [True, True, False]
        assert described(cloud) == bundles[0].digest
        put(folder, bundles[2])
        cloud.reload()
        assert [answers(cloud, bundle) for bundle in bundles] == [True, False, True]


def test_the_same_bundle_twice_is_one(bundles: list[Bundle]) -> None:
    with serving(bundles[0].path, also=bundles[0].path) as cloud:
        assert cloud.server.holder.other is None


def test_a_draining_cloud_reloads_no_more(
    folder: Path, bundles: list[Bundle], caplog: pytest.LogCaptureFixture
) -> None:
    folder.symlink_to(bundles[0].path)
    with serving(folder) as cloud:
        cloud.drain()
        put(folder, bundles[1])
        cloud.reload()
        assert reloads(cloud) == {("refused",): 1}
        assert "not reloaded: the cloud is shutting down" in caplog.text
