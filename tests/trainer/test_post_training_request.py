from pathlib import Path

import pytest

from splitwire.errors import ConfigError
from splitwire.plan import SplitPlan
from trainer.data.preprocessing import PreprocessOptions
from trainer.post_training.request import SplitRequest


def request(*, max_drop: float = 1.0, distill_steps: int = 0) -> SplitRequest:
    return SplitRequest(
        plan=SplitPlan(3, 1),
        weights=Path("net.pth"),
        calibrate=Path("photos"),
        preprocess=PreprocessOptions(),
        labels=None,
        max_drop=max_drop,
        distill_steps=distill_steps,
        seed=0,
    )


def test_its_name() -> None:
    assert request().name == "net-front3-back1"


@pytest.mark.parametrize("max_drop", [0.0, -1.0, 101.0, float("nan")])
def test_a_drop_that_cannot_be(max_drop: float) -> None:
    with pytest.raises(ConfigError, match="max-drop must be above 0 and at most 100 points"):
        request(max_drop=max_drop)


def test_steps_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="distill-steps must be from 0"):
        request(distill_steps=-1)
