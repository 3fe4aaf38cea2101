import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from edge.connection import Connection
from protos import splitwire_pb2 as pb
from splitwire.errors import CloudUnavailable, CloudUnreached
from tests.edge.scripted import Paused, echo, scripted_cloud

PATIENCE = 60.0

DIGEST = b"12345678"


def soon() -> float:
    return time.monotonic() + PATIENCE


def test_a_retired_connection_answers_what_it_took_and_takes_no_more() -> None:
    script = Paused()
    with scripted_cloud(script) as cloud, ThreadPoolExecutor(1) as caller:
        connection = Connection(cloud.target, DIGEST, max_payload_bytes=4096)
        answer = caller.submit(connection.exchange, pb.ForwardRequest(timeout_ms=1), soon())
        assert script.asked.wait(PATIENCE)
        connection.retire()
        assert connection.broken
        with pytest.raises(CloudUnavailable, match="going away"):
            connection.exchange(pb.ForwardRequest(), soon())
        script.may_answer.set()
        assert answer.result(PATIENCE).id == 0


def test_a_request_that_was_given_up_is_not_sent() -> None:
    seen: list[int] = []

    def script(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
        for request in requests:
            seen.append(request.timeout_ms)
            yield echo(request)

    with scripted_cloud(script) as cloud:
        connection = Connection(cloud.target, DIGEST, max_payload_bytes=4096)
        connection.describe(DIGEST, soon())
        connection._outbox.put(pb.ForwardRequest(id=1, timeout_ms=1))  # nobody waits for it any more
        connection.exchange(pb.ForwardRequest(timeout_ms=2), soon())
        connection.close()
    assert seen == [2]


def test_a_closed_connection_describes_nothing() -> None:
    with scripted_cloud(lambda requests: map(echo, requests)) as cloud:
        connection = Connection(cloud.target, DIGEST, max_payload_bytes=4096)
        assert connection.describe(DIGEST, soon()).bundle_digest == DIGEST
        connection.close()
        with pytest.raises(CloudUnavailable):
            connection.describe(b"12345678", soon())


@contextmanager
def far_from(cloud: str) -> Iterator[tuple[str, threading.Event]]:
    """An address whose connections lead to `cloud`, and what lets their bytes through."""
    may_pass = threading.Event()
    host, port = cloud.rsplit(":", 1)

    def pump(source: socket.socket, target: socket.socket) -> None:
        may_pass.wait(PATIENCE)
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    def accept() -> None:
        near, _ = listener.accept()
        with near, socket.create_connection((host, int(port))) as far:
            back = threading.Thread(target=pump, args=(far, near))
            back.start()
            pump(near, far)
            with suppress(OSError):
                far.shutdown(socket.SHUT_RDWR)
            back.join(PATIENCE)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = threading.Thread(target=accept)
        relay.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", may_pass
        may_pass.set()
        relay.join(PATIENCE)


def test_a_hasty_caller_does_not_cut_off_those_who_have_time() -> None:
    with (
        scripted_cloud(lambda requests: map(echo, requests)) as cloud,
        far_from(cloud.target) as (target, may_pass),
        ThreadPoolExecutor(1) as caller,
    ):
        connection = Connection(target, DIGEST, max_payload_bytes=4096)
        patient = caller.submit(connection.exchange, pb.ForwardRequest(timeout_ms=1), soon())
        with pytest.raises(CloudUnreached, match="could not be reached within the deadline"):
            connection.exchange(pb.ForwardRequest(timeout_ms=1), time.monotonic() + 0.05)
        assert not connection.broken
        may_pass.set()
        patient.result(PATIENCE)
        connection.close()


def test_one_that_opens_for_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.connection._OPENING_SECONDS", 0.05)
    with scripted_cloud(lambda requests: map(echo, requests)) as cloud, far_from(cloud.target) as (target, _):
        connection = Connection(target, DIGEST, max_payload_bytes=4096)
        with pytest.raises(CloudUnavailable, match="could not be reached within the deadline") as caught:
            connection.exchange(pb.ForwardRequest(timeout_ms=1), time.monotonic() + 0.1)
        assert not isinstance(caught.value, CloudUnreached), "it is the cloud's fault, not the caller's haste"
        assert connection.broken


def ask_once(target: str) -> None:
    connection = Connection(target, DIGEST, max_payload_bytes=4096)
    connection.exchange(pb.ForwardRequest(), soon())
    connection.close()


@pytest.mark.parametrize("name", ["cloud-reader", "Thread-"])
def test_where_no_thread_can_be_started_the_cloud_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    start = threading.Thread.start
    before = set(threading.enumerate())

    def some_start(thread: threading.Thread) -> None:
        if thread.name.startswith(name):
            raise RuntimeError("can't start new thread")
        start(thread)

    with scripted_cloud(lambda requests: map(echo, requests)) as cloud:
        with monkeypatch.context() as limited:
            limited.setattr(threading.Thread, "start", some_start)
            with pytest.raises(CloudUnavailable, match="cannot be asked: can't start new thread"):
                ask_once(cloud.target)
        ask_once(cloud.target)
    end = time.monotonic() + PATIENCE
    while set(threading.enumerate()) - before:
        assert time.monotonic() < end
        time.sleep(0.01)
