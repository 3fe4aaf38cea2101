import asyncio

import pytest

from edge.config import EdgeConfig
from edge.held import Held
from edge.server import make_pipeline
from splitwire.address import Address
from splitwire.bundle import Bundle


class Closing:
    """What a cloud is to `Held`."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def cloud() -> Closing:
    return Closing()


@pytest.fixture
def held(tiny_bundle: Bundle, cloud: Closing) -> Held:
    pipeline = make_pipeline(EdgeConfig(tiny_bundle.path, (Address("127.0.0.1", 1),), fallback="none"))
    pipeline.cloud = cloud  # type: ignore[assignment]  # all of it that is needed here
    return Held(pipeline)


def test_it_is_named_and_described(held: Held, tiny_bundle: Bundle) -> None:
    assert str(held) == f"tiny {tiny_bundle.digest.hex()}"
    assert held.model.digest == tiny_bundle.digest.hex()
    assert held.raw_downlink == 4 * 16


def test_what_nobody_uses_is_let_go_of_at_once(held: Held, cloud: Closing) -> None:
    with held.use():
        pass
    asyncio.run(held.retire())
    assert cloud.closed


def test_its_last_user_ends_it(held: Held, cloud: Closing) -> None:
    async def use(leave: asyncio.Event) -> None:
        with held.use():
            await leave.wait()
            assert not cloud.closed

    async def retire() -> None:
        leaves = [asyncio.Event() for _ in range(3)]
        users = [asyncio.create_task(use(leave)) for leave in leaves]
        await asyncio.sleep(0)
        retiring = asyncio.create_task(held.retire())
        for leave, user in zip(leaves, users, strict=True):
            assert not retiring.done()
            leave.set()
            await user
        await retiring
        assert cloud.closed

    asyncio.run(retire())


def test_a_failing_user_counts_no_more(held: Held, cloud: Closing) -> None:
    with pytest.raises(ZeroDivisionError), held.use():
        1 / 0  # noqa: B018
    asyncio.run(held.retire())
    assert cloud.closed
