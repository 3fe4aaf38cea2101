import asyncio
from pathlib import Path

import pytest

from cloud.config import CloudConfig
from cloud.held import Held
from cloud.job_queue import Job
from cloud.limits import max_request_bytes
from protos.convert import frame_from_message
from splitwire.bundle import Bundle
from splitwire.errors import CloudUnavailable, ConfigError, PayloadTooLarge, ShapeMismatch
from tests.cloud.serving import make_request


def make(bundle: Bundle, *, fits: int, max_rows: int = 8) -> Held:
    """Where messages may be as long as `fits` rows need."""
    config = CloudConfig(Path(), workers=1, max_rows=max_rows)
    message_bytes = max_request_bytes(bundle.manifest.uplink, fits)
    return Held.make(bundle, config, message_bytes=message_bytes, note_rows=lambda _: None)


def test_it_is_named_and_described(tiny_bundle: Bundle) -> None:
    held = make(tiny_bundle, fits=8)
    held.body.close()
    assert str(held) == f"tiny {tiny_bundle.digest.hex()}"
    assert held.description.bundle_digest == tiny_bundle.digest
    assert held.description.max_rows == 8


def test_as_many_rows_as_the_servers_messages_have_room_for(tiny_bundle: Bundle) -> None:
    held = make(tiny_bundle, fits=3)
    uplink = tiny_bundle.manifest.uplink

    async def forward(rows: int) -> None:
        frame = frame_from_message(make_request(tiny_bundle, rows=rows).frame, uplink)
        await held.body.forward(frame, arrived_ns=0)

    assert held.description.max_rows == 3
    asyncio.run(forward(3))
    with pytest.raises((ShapeMismatch, PayloadTooLarge)):
        asyncio.run(forward(4))
    held.body.close()


def test_a_bundle_too_large_for_the_servers_messages_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="restart"):
        Held.make(tiny_bundle, CloudConfig(Path()), message_bytes=10, note_rows=lambda _: None)


def test_retired_it_answers_no_more(tiny_bundle: Bundle) -> None:
    held = make(tiny_bundle, fits=8)
    frame = frame_from_message(make_request(tiny_bundle).frame, tiny_bundle.manifest.uplink)

    async def retire() -> None:
        flight = held.body.forward(frame, arrived_ns=0)
        await asyncio.sleep(0)
        await held.retire()
        assert flight.done()
        with pytest.raises(CloudUnavailable):
            await held.body._batcher.submit(Job(frame, 1, 0))

    asyncio.run(retire())
