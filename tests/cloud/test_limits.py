import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.limits import max_request_bytes, rows_within
from protos import splitwire_pb2 as pb
from splitwire.errors import ConfigError
from splitwire.frame import max_payload_bytes
from splitwire.plan import BoundarySpec
from tests.bundles import UPLINK


@given(st.integers(1, 64), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_the_limit_admits_the_largest_request(rows: int, id: int, timeout_ms: int) -> None:  # noqa: A002
    request = pb.ForwardRequest(bundle_digest=bytes(8), id=id, timeout_ms=timeout_ms)
    request.frame.shape.extend((rows, *UPLINK.shape))
    request.frame.payload = bytes(max_payload_bytes(UPLINK, rows))
    assert request.ByteSize() <= max_request_bytes(UPLINK, rows)


def test_rows_that_no_message_can_carry_are_refused() -> None:
    stem_of_a_photo = BoundarySpec(shape=(32, 112, 112), keep=1.0, bits=8, zero=0)
    with pytest.raises(ConfigError, match="--max-rows 65536 needs messages of 26"):
        max_request_bytes(stem_of_a_photo, 65536)


@given(st.integers(1, 64), st.integers(1, 64))
def test_as_many_rows_as_fit(allowed: int, most: int) -> None:
    assert rows_within(max_request_bytes(UPLINK, allowed), UPLINK, most) == min(allowed, most)


def test_a_bundle_of_which_not_one_row_fits_is_refused() -> None:
    wider = BoundarySpec(shape=(64, 16, 16), keep=1.0, bits=8, zero=0)
    with pytest.raises(ConfigError, match=r"one row of it needs messages of \d+ bytes, .* at most 4[0-9]{3}"):
        rows_within(max_request_bytes(UPLINK, 1), wider, 64)
