from collections.abc import Iterator

import pytest

from splitwire.bundle import Bundle
from tests.bundles import tiny_bundle as make_tiny_bundle
from tests.cloud.serving import Serving, serving


@pytest.fixture(scope="session")
def slow_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose body computes for some hundred milliseconds: long enough for others to overtake."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "slow", body_repeats=20_000)


@pytest.fixture(scope="module")
def cloud(tiny_bundle: Bundle) -> Iterator[Serving]:
    """A cloud that serves `tiny_bundle`; tests that drain it must start their own."""
    with serving(tiny_bundle.path) as running:
        yield running


@pytest.fixture
def slow_cloud(slow_bundle: Bundle) -> Iterator[Serving]:
    """A cloud with a slow body and one worker."""
    with serving(slow_bundle.path, workers=1) as running:
        yield running
