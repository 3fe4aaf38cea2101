"""Fixtures that several packages' tests share."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import settings

from splitwire.bundle import Bundle
from tests.bundles import tiny_bundle as make_tiny_bundle
from tests.certificates import OPENSSL_IS_MISSING, Certificates

__all__ = ["certificates", "other_certificates", "tiny_bundle"]

# Time is for benchmarks to judge: on a busy machine any example may take long.
settings.register_profile("splitwire", deadline=None)
settings.load_profile("splitwire")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of `tests.bundles.tiny_bundle`, read-only for its users."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return _certificates(tmp_path_factory, "ours")


@pytest.fixture(scope="session")
def other_certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The same names, signed by another authority."""
    return _certificates(tmp_path_factory, "theirs")


def _certificates(factory: pytest.TempPathFactory, name: str) -> Certificates:
    if OPENSSL_IS_MISSING:
        pytest.skip("there is no OpenSSL 3 here")
    return Certificates.make(factory.mktemp("certificates") / name)


@pytest.fixture(autouse=True)
def _nothing_stays_frozen() -> Iterator[None]:
    """A program that is run in this process spares what is there, which here is not for ever."""
    yield
    gc.unfreeze()
