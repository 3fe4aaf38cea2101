"""The edge's application inside the test's process, called as over HTTP."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx

from edge.app import make_app
from edge.config import EdgeConfig
from edge.holder import Reload
from edge.metrics import EdgeMetrics
from edge.pipeline import Pipeline
from edge.problems import MEDIA_TYPE
from edge.server import make_holder
from splitwire.address import Address

__all__ = ["Caller", "Query", "calling", "problem_name"]

#: What `httpx.AsyncClient.request` takes.
Query = dict[str, Any]


class Caller:
    """One event loop, so that requests of several calls meet the same application."""

    def __init__(self, config: EdgeConfig) -> None:
        self.holder = make_holder(config)
        self.metrics = EdgeMetrics()
        self.app = make_app(config, self.holder, self.metrics).asgi
        self._runner = asyncio.Runner()
        # Without the transport's own raising, so that the 500 handler's answer is seen.
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://edge")

    @property
    def pipeline(self) -> Pipeline:
        """Of the bundle that is served now."""
        return self.holder.current.pipeline

    def __call__(self, method: str, url: str, **rest: Any) -> httpx.Response:
        return self.all([{"method": method, "url": url, **rest}])[0]

    def all(self, queries: Iterable[Query]) -> list[httpx.Response]:
        """The responses to requests that are under way at the same time."""

        async def gather() -> list[httpx.Response]:
            return await asyncio.gather(*(self._client.request(**query) for query in queries))

        return self._runner.run(gather())

    def classify(
        self, image: bytes, media_type: str = "image/jpeg", deadline_ms: int | str | None = None, **rest: Any
    ) -> httpx.Response:
        headers = {"content-type": media_type}
        if deadline_ms is not None:
            headers["x-deadline-ms"] = str(deadline_ms)
        return self("POST", "/classify", content=image, headers=headers, **rest)

    def upload(self, image: bytes, **rest: Any) -> httpx.Response:
        return self("POST", "/classify", files={"image": ("a picture", image)}, **rest)

    def reload(self) -> Reload:
        """And until what was replaced has been let go of."""

        async def reload() -> Reload:
            done = await self.holder.reload()
            while self.holder.retiring:
                await asyncio.sleep(0.001)
            return done

        return self._runner.run(reload())

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self.holder.close()
        self._runner.close()


@contextlib.contextmanager
def calling(bundle: Path, cloud: str, **options: Any) -> Iterator[Caller]:
    """Of `cloud` alone, unless `fallback` says otherwise."""
    caller = Caller(EdgeConfig(bundle, (Address.parse(cloud),), **{"fallback": "none"} | options))
    try:
        yield caller
    finally:
        caller.close()


def problem_name(response: httpx.Response) -> str:
    """The end of the problem's type, having checked that it is a whole RFC 9457 document."""
    document = response.json()
    assert response.headers["content-type"] == MEDIA_TYPE
    assert set(document) == {"type", "title", "status", "detail", "instance"}
    assert document["status"] == response.status_code
    assert all(document[member] for member in document)
    assert document["instance"].startswith("urn:uuid:")
    kind: str = document["type"]
    return kind.removeprefix("urn:splitwire:problem:")
