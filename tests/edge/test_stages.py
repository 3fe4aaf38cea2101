from dataclasses import replace

from edge.classification import StageTimings
from edge.client import CloudTimings
from edge.stages import STAGES, server_timing, stages

SPLIT = StageTimings(
    image_decode=1.0,
    head=2.0,
    encode=3.0,
    cloud=CloudTimings(queue=4.0, decode=5.0, compute=6.0, encode=7.0),
    network=8.0,
    decode=9.0,
    waited=None,
    body=None,
    tail=10.25,
    total=60.0,
)


def test_stages_are_those_of_the_route_in_order() -> None:
    found = stages(SPLIT)
    assert list(found) == [name for name in STAGES if name not in ("waited", "body")]
    assert [found[f"cloud.{name}"] for name in ("queue", "decode", "compute", "encode")] == [
        4.0,
        5.0,
        6.0,
        7.0,
    ]
    local = replace(SPLIT, encode=None, cloud=None, network=None, decode=None, waited=0.0, body=3.0)
    assert list(stages(local)) == ["image_decode", "head", "waited", "body", "tail", "total"]


def test_every_field_is_a_stage() -> None:
    assert {name.partition(".")[0] for name in STAGES} == set(StageTimings.__dataclass_fields__)


def test_server_timing_is_tokens_and_milliseconds() -> None:
    assert server_timing(SPLIT) == (
        "image_decode;dur=1, head;dur=2, encode;dur=3, cloud.queue;dur=4, cloud.decode;dur=5, "
        "cloud.compute;dur=6, cloud.encode;dur=7, network;dur=8, decode;dur=9, tail;dur=10.25, total;dur=60"
    )
