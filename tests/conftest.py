"""Fixtures that several packages' tests share."""

import pytest

from splitwire.bundle import Bundle
from tests.bundles import tiny_bundle as make_tiny_bundle

__all__ = ["tiny_bundle"]


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of `tests.bundles.tiny_bundle`, read-only for its users."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
