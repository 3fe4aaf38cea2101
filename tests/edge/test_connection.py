import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge.connection import Connection
from protos import splitwire_pb2 as pb
from splitwire.errors import CloudUnavailable
from tests.edge.scripted import Paused, echo, scripted_cloud

PATIENCE = 60.0

DIGEST = b"12345678"


def soon() -> float:
    return time.monotonic() + PATIENCE


def test_a_retired_connection_answers_what_it_took_and_takes_no_more() -> None:
    script = Paused()
    with scripted_cloud(script) as cloud, ThreadPoolExecutor(1) as caller:
        connection = Connection(cloud.target, DIGEST, max_message_bytes=4096)
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
        connection = Connection(cloud.target, DIGEST, max_message_bytes=4096)
        connection.describe(DIGEST, soon())
        connection._outbox.put(pb.ForwardRequest(id=1, timeout_ms=1))  # nobody waits for it any more
        connection.exchange(pb.ForwardRequest(timeout_ms=2), soon())
        connection.close()
    assert seen == [2]


def test_a_closed_connection_describes_nothing() -> None:
    with scripted_cloud(lambda requests: map(echo, requests)) as cloud:
        connection = Connection(cloud.target, DIGEST, max_message_bytes=4096)
        assert connection.describe(DIGEST, soon()).bundle_digest == DIGEST
        connection.close()
        with pytest.raises(CloudUnavailable):
            connection.describe(b"12345678", soon())
