import asyncio
import time
from contextlib import ExitStack

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from edge.admission import Admission
from edge.turnstile import TurnAway, Turnstile
from tests.edge.calling import problem_name


async def application(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class Unread:
    """A body of which nothing may be taken."""

    def __aiter__(self) -> "Unread":
        return self

    async def __anext__(self) -> bytes:
        raise AssertionError("it was read")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/classify", 503), ("GET", "/classify", 204), ("POST", "/", 204)]
)
def test_only_images_are_sent_away_unread_while_it_is_full(method: str, path: str, status: int) -> None:
    async def scenario() -> httpx.Response:
        admission = Admission(1)
        turnstile = Turnstile(admission, path="/classify", seconds=60.0)
        transport = httpx.ASGITransport(TurnAway(application, turnstile))
        async with httpx.AsyncClient(transport=transport, base_url="http://edge") as client:
            with ExitStack() as inside:
                for _ in range(admission.places):
                    inside.enter_context(admission.enter(time.monotonic() + 60.0))
                response = await client.request(method, path, content=Unread())
            assert (await client.request(method, path)).status_code == 204, "there is room again"
        admission.close()
        return response

    response = asyncio.run(scenario())
    assert response.status_code == status
    if status == 503:
        assert problem_name(response) == "busy"
        assert int(response.headers["retry-after"]) > 0
