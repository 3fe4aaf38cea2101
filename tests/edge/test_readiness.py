import asyncio
from collections.abc import Iterator

import pytest

from edge import readiness
from edge.client import CloudClient
from edge.readiness import Readiness
from edge.replica import Replica
from splitwire.errors import CloudUnavailable
from splitwire.plan import BoundarySpec


class CountingClient(CloudClient):
    """Counts what it is asked, and is there or not as told."""

    def __init__(self) -> None:
        boundary = BoundarySpec((4,), keep=1.0, bits=8, zero=0)
        super().__init__("127.0.0.1:1", b"12345678", uplink=boundary, downlink=boundary)
        self.asked = 0
        self.there = True

    def check(self, deadline: float) -> None:  # noqa: ARG002
        self.asked += 1
        if not self.there:
            raise CloudUnavailable("not there")


@pytest.fixture
def client() -> Iterator[CountingClient]:
    client = CountingClient()
    yield client
    client.close()


def test_many_probes_ask_once(client: CountingClient) -> None:
    async def probe() -> None:
        ready = Readiness(Replica(client))
        await asyncio.gather(*(ready.check() for _ in range(50)))

    asyncio.run(probe())
    assert client.asked == 1


def test_a_fault_is_told_to_every_probe_and_forgotten_when_it_is_gone(
    client: CountingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def probe() -> None:
        ready = Readiness(Replica(client))
        client.there = False
        for _ in range(2):
            with pytest.raises(CloudUnavailable, match="not there"):
                await ready.check()
        assert client.asked == 1
        client.there = True
        monkeypatch.setattr(readiness, "_FRESH_SECONDS", -1.0)
        await ready.check()

    asyncio.run(probe())
