from splitwire.plan import SplitPlan
from tests.trainer.networks import make_network
from trainer.config import BoundaryOptions
from trainer.outline import outline


def test_layers_and_boundaries() -> None:
    lines = outline(make_network(SplitPlan(3, 1), uplink=BoundaryOptions(bits=4))).splitlines()
    assert lines[0].startswith("MobileNetV2, ")
    assert lines[1:4] == ["  head  stem .. block2", "  body  block3 .. conv_last", "  tail  classifier"]
    assert "keep 1, 4 bits" in lines[4]
    assert lines[5].startswith("  downlink 1280, off, 5,120 B")


def test_no_tail() -> None:
    assert "  tail  none" in outline(make_network(SplitPlan(3, 0)))
