import contextlib
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.client import CloudClient
from edge.replica import Replica
from edge.replicas import Replicas
from edge.retry_budget import RetryBudget
from protos import splitwire_pb2 as pb
from splitwire.errors import CloudError
from tests.edge.scripted import Script, scripted_cloud
from tests.edge.test_replica import BOUNDARY, FRAME, PATIENCE

UNAVAILABLE, RESOURCE_EXHAUSTED = 14, 8

CLIENTS, EACH = 16, 20


def test_half_of_the_tokens_may_be_spent_at_once_and_answers_give_them_back() -> None:
    budget = RetryBudget(max_tokens=8, token_ratio=0.5)
    for _ in range(3):
        budget.fail()
        assert budget.allows
    budget.fail()
    assert not budget.allows
    budget.succeed()
    assert budget.allows
    for _ in range(100):
        budget.fail()
    for _ in range(8):
        assert not budget.allows
        budget.succeed()
    assert not budget.allows
    budget.succeed()
    assert budget.allows


def test_what_may_not_be_repeated_is_not_spent() -> None:
    budget = RetryBudget(max_tokens=8, token_ratio=0.5)
    assert [budget.spend() for _ in range(5)] == [True, True, True, False, False]
    assert budget.allows
    budget.fail()
    assert not budget.allows


@given(st.lists(st.booleans()), st.integers(2, 20), st.sampled_from([0.1, 0.5, 1.0]))
def test_repetitions_are_bounded_whatever_fails(fates: list[bool], most: int, ratio: float) -> None:
    """Each failure is repeated where that is allowed."""
    budget, repeated = RetryBudget(most, ratio), 0
    for answered in fates:
        if answered:
            budget.succeed()
        else:
            budget.fail()
            repeated += budget.allows
    assert repeated <= most / 2 + ratio * fates.count(True)


class Refusing:
    """Clouds that answer every request with one status, and count."""

    def __init__(self, code: int) -> None:
        self._code = code
        self._lock = threading.Lock()
        self.sent = 0

    def script(self) -> Script:
        def refuse(requests: Iterator[pb.ForwardRequest]) -> Iterator[pb.ForwardReply]:
            for request in requests:
                with self._lock:
                    self.sent += 1
                yield pb.ForwardReply(id=request.id, error=pb.Error(code=self._code, message="no"))

        return refuse


@pytest.mark.parametrize("code", [UNAVAILABLE, RESOURCE_EXHAUSTED])
@pytest.mark.parametrize("clouds", [1, 3])
def test_clouds_that_fail_are_not_asked_all_the_more(clouds: int, code: int) -> None:
    """By clients who insist, as without a local route. 32 is half of the bucket; without one three clouds
    were sent up to six times what was asked."""
    refusing, budget = Refusing(code), RetryBudget()
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(scripted_cloud(refusing.script())).target for _ in range(clouds)]
        replicas = Replicas([Replica(client_of(target, budget)) for target in targets], budget)
        stack.callback(replicas.close)
        threads = [threading.Thread(target=insist, args=(replicas,)) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert CLIENTS * EACH <= refusing.sent <= CLIENTS * EACH + 32


def test_a_full_cloud_is_not_asked_again_for_the_same_request() -> None:
    refusing = Refusing(RESOURCE_EXHAUSTED)
    with scripted_cloud(refusing.script()) as cloud:
        replicas = Replicas([Replica(client_of(cloud.target, RetryBudget()))])
        for count in range(1, 4):
            with pytest.raises(CloudError):
                replicas.forward(FRAME, time.monotonic() + PATIENCE)
            assert refusing.sent == count
        assert replicas.fault is None, "nor is it held against the cloud"
        replicas.close()


def client_of(target: str, budget: RetryBudget) -> CloudClient:
    return CloudClient(target, b"12345678", uplink=BOUNDARY, downlink=BOUNDARY, budget=budget)


def insist(replicas: Replicas) -> None:
    for _ in range(EACH):
        with contextlib.suppress(CloudError):
            replicas.forward(FRAME, time.monotonic() + PATIENCE)
