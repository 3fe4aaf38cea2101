import pytest

from protos.digest import stream_digest, stream_metadata

DIGEST = bytes(range(8))


def test_a_stream_says_once_what_its_requests_are_for() -> None:
    assert stream_digest((("authorization", "Bearer x"), *stream_metadata(DIGEST))) == DIGEST


@pytest.mark.parametrize(
    "metadata", [(), (("authorization", "Bearer x"),), (("splitwire-bundle-bin", "text"),)]
)
def test_without_it_there_is_none(metadata: tuple[tuple[str, str], ...]) -> None:
    assert stream_digest(metadata) == b""
