from collections.abc import Iterator

import pytest

from edge import protocol
from splitwire.bundle import Bundle
from tests.cloud.serving import Serving, serving
from tests.edge.calling import Caller, calling


@pytest.fixture(scope="module")
def cloud(tiny_bundle: Bundle) -> Iterator[Serving]:
    """A cloud that serves `tiny_bundle`."""
    with serving(tiny_bundle.path) as running:
        yield running


@pytest.fixture(scope="module")
def edge(tiny_bundle: Bundle, cloud: Serving) -> Iterator[Caller]:
    """An edge that uses `cloud`, and takes images of up to 100,000 bytes."""
    with calling(tiny_bundle.path, str(cloud.server.address), max_image_bytes=100_000) as caller:
        yield caller


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections end after a second."""
    monkeypatch.setattr(protocol, "_HEADER_SECONDS", 1.0)
    monkeypatch.setattr(protocol, "_REST_SECONDS", 1.0)
    monkeypatch.setattr(protocol, "UNREAD_SECONDS", 1.0)
