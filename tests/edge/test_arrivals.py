import asyncio

import pytest

from edge import arrivals
from edge.arrivals import Arrivals
from edge.problems import BUSY, Problem


def test_what_is_held_is_bounded_and_free_again_at_the_end() -> None:
    async def scenario() -> None:
        held = Arrivals(100)
        with held.begin() as one, held.begin() as other:
            async with one.patience, other.patience:
                one.note(60)
                other.note(40)
                with pytest.raises(Problem, match="100 bytes") as refusal:
                    other.note(1)
                assert refusal.value.kind is BUSY
                assert (one.received, other.received, held.held) == (60, 40, 100)
        assert held.held == 0

    asyncio.run(scenario())


@pytest.mark.parametrize(("received", "seconds"), [(0, 5.0), (1024, 6.0), (20 << 10, 25.0), (8 << 20, 60.0)])
def test_what_arrives_earns_a_body_more_time(received: int, seconds: float) -> None:
    async def scenario() -> None:
        with Arrivals(1 << 30).begin() as arrival:
            async with arrival.patience:
                arrival.note(received)
                assert arrival.seconds == seconds
                began = asyncio.get_running_loop().time()
                until = arrival.patience.when()
                assert until is not None
                assert 0 < until - began <= seconds

    asyncio.run(scenario())


def test_one_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "_FIRST_SECONDS", 0.05)

    async def scenario() -> None:
        with Arrivals(1 << 30).begin() as arrival:
            async with arrival.patience:
                while True:
                    arrival.note(1)
                    await asyncio.sleep(0.005)

    with pytest.raises(TimeoutError):
        asyncio.run(scenario())
