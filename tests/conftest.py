"""Fixtures that several packages' tests share."""

import pytest
from hypothesis import settings

from splitwire.bundle import Bundle
from tests.bundles import tiny_bundle as make_tiny_bundle

__all__ = ["tiny_bundle"]

# Time is for benchmarks to judge: on a busy machine any example may take long.
settings.register_profile("splitwire", deadline=None)
settings.load_profile("splitwire")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of `tests.bundles.tiny_bundle`, read-only for its users."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
