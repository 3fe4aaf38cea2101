import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.networks import make_config
from trainer.learning_rate import learning_rate


@given(st.integers(0, 10), st.integers(1, 60))
def test_the_learning_rate_rises_in_a_line_and_falls_in_a_wave(warmup: int, more: int) -> None:
    config = make_config(epochs=warmup + more, warmup_epochs=warmup, learning_rate=0.4)
    rates = [learning_rate(config, epoch / 4) for epoch in range(4 * config.epochs + 1)]
    rise, fall = rates[: 4 * warmup], rates[4 * warmup :]
    assert all(0 < rate < 0.4 for rate in rise)
    assert rise == sorted(rise)
    assert fall == sorted(fall, reverse=True)
    assert fall[0] == 0.4
    assert fall[-1] == pytest.approx(0.0, abs=1e-9)
    assert learning_rate(config, warmup + more / 2) == pytest.approx(0.2)
    for quarter, rate in enumerate(rise):
        assert rate == pytest.approx(max(0.004, 0.1 * quarter / warmup))


def test_warm_up_alone() -> None:
    config = make_config(epochs=2, warmup_epochs=2, learning_rate=0.4)
    assert [learning_rate(config, epoch) for epoch in (0, 1, 2)] == [0.004, 0.2, 0.4]
    assert math.isfinite(learning_rate(config, 2.5))
