"""Whatever the bytes: an answer or one typed problem, never a failure of the edge."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.edge.calling import Caller, problem_name
from tests.edge.images import FORMATS, image_file

pytestmark = pytest.mark.filterwarnings("default")  # Pillow warns of what it finds odd

FILES = [image_file(file_format) for file_format in FORMATS]

hostile = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_typed(edge: Caller, content: bytes) -> None:
    for response in (edge.classify(content), edge.upload(content)):
        if response.status_code != 200:
            assert (response.status_code, problem_name(response)) in {
                (415, "unsupported-image-type"),
                (422, "undecodable-image"),
                (422, "too-many-pixels"),
                (422, "no-image"),
            }


@pytest.mark.parametrize("whole", FILES, ids=FORMATS)
def test_every_truncation(edge: Caller, whole: bytes) -> None:
    for length in range(0, len(whole), 7):
        assert_typed(edge, whole[:length])


@hostile
@given(st.sampled_from(FILES), st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=8))
def test_flipped_bytes(edge: Caller, whole: bytes, flips: list[tuple[int, int]]) -> None:
    content = bytearray(whole)
    for position, mask in flips:
        content[position % len(content)] ^= mask
    assert_typed(edge, bytes(content))


@hostile
@given(st.sampled_from([b"", *(whole[:12] for whole in FILES)]), st.binary(max_size=2000))
def test_random_bytes(edge: Caller, start: bytes, rest: bytes) -> None:
    assert_typed(edge, start + rest)
