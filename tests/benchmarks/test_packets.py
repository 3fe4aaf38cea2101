import json
import shutil
from pathlib import Path

import pytest

from benchmarks.packets.main import Cost, main, report
from benchmarks.packets.socket_statistics import Traffic, parse
from splitwire.bundle import Bundle
from tests.edge.images import image_file

#: Of two connections, as `ss` of iproute2 6.1 writes it; the second has received nothing yet.
STATISTICS = """\
ESTAB 0 0 127.0.0.1:53442 127.0.0.1:50051
\t cubic wscale:7,7 rto:204 rtt:0.05/0.02 bytes_sent:1000 bytes_acked:1001 bytes_received:300
 segs_out:10 segs_in:7
ESTAB 0 0 127.0.0.1:53450 127.0.0.1:50051
\t cubic wscale:7,7 rto:204 bytes_sent:24 bytes_acked:25 segs_out:3 segs_in:2 data_segs_out:1
"""


def test_the_traffic_of_all_connections_is_summed_with_their_headers() -> None:
    assert parse(STATISTICS) == Traffic(13, 9, 1024 + 52 * 13, 300 + 52 * 9)
    assert parse("") == Traffic(0, 0, 0, 0)


def test_an_images_traffic_is_a_difference_and_a_mean() -> None:
    assert (Traffic(30, 20, 1000, 500) - Traffic(10, 10, 200, 100)) / 10 == Traffic(2, 1, 80, 40)


def test_the_report_has_a_row_for_each_pause() -> None:
    *_, row = report([Cost(0.25, 296.4, 47.2, Traffic(2, 1.02, 435, 134.6))]).splitlines()
    assert row.split() == ["0.25", "296", "2.00", "435", "47", "1.02", "135"]


@pytest.mark.skipif(shutil.which("ss") is None, reason="needs iproute2")
def test_a_real_edges_traffic_is_more_than_its_messages_and_not_much(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, out = tmp_path / "image.png", tmp_path / "out.jsonl"
    image.write_bytes(image_file())
    options = [
        "--bundle",
        str(tiny_bundle.path),
        "--images",
        str(image),
        "--count",
        "20",
        "--pauses",
        "0",
        "0.05",
    ]
    assert main([*options, "--out", str(out)]) == 0
    costs = [json.loads(line) for line in out.read_text().splitlines()][1:]
    assert [cost["pause"] for cost in costs] == [0, 0.05]
    for cost in costs:
        extra = cost["traffic"]["bytes_sent"] - cost["uplink"]
        assert 9 + 52 <= extra <= 250
        assert 1 <= cost["traffic"]["packets_received"] <= 4
    assert "seconds to the next" in capsys.readouterr().out
