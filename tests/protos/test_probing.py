import pytest

from protos.probing import bdp_probe


@pytest.mark.parametrize(
    ("payload_bytes", "probes"), [(0, 0), (300, 0), (16_383, 0), (16_384, 1), (10**9, 1)]
)
def test_windows_are_opened_wider_only_for_frames_that_fill_them(payload_bytes: int, probes: int) -> None:
    assert bdp_probe(payload_bytes) == ("grpc.http2.bdp_probe", probes)
