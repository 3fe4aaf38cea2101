from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.plan import FLOAT_BITS
from tests.trainer.networks import make_config
from trainer.config import BoundaryOptions, TrainConfig
from trainer.schedule import scheduled, stage, stale


def scheduled_config(uncompressed: int, anneal: int, uplink: BoundaryOptions, **more: int) -> TrainConfig:
    return make_config(
        epochs=uncompressed + anneal + 3,
        uncompressed_epochs=uncompressed,
        anneal_epochs=anneal,
        uplink=uplink,
        **more,
    )


@given(
    st.integers(0, 4), st.integers(0, 12), st.floats(0.001, 1.0), st.sampled_from([2, 3, 7, 8, FLOAT_BITS])
)
def test_nothing_then_ever_more_and_then_the_target(
    uncompressed: int, anneal: int, keep: float, bits: int
) -> None:
    target = BoundaryOptions(keep=keep, bits=bits, gradient_bits=4)
    config = scheduled_config(uncompressed, anneal, target)
    stages = [stage(config, epoch)[0] for epoch in range(config.epochs)]
    assert stages[:uncompressed] == [BoundaryOptions()] * uncompressed
    annealed = stages[uncompressed:]
    assert annealed[anneal:] == [target] * 3
    for name in ("keep", "bits"):
        values = [getattr(options, name) for options in annealed]
        assert values == sorted(values, reverse=True)
    if anneal:
        assert annealed[0] == replace(target, keep=1.0, bits=FLOAT_BITS if bits == FLOAT_BITS else 8)
    assert scheduled(config) == (uncompressed + anneal > 0)


def test_each_epoch_prunes_the_same_share_of_what_is_left_and_takes_a_bit() -> None:
    config = scheduled_config(1, 4, BoundaryOptions(keep=0.0625, bits=4))
    found = [stage(config, epoch)[0] for epoch in range(1, 6)]
    assert [options.keep for options in found] == pytest.approx([1.0, 0.5, 0.25, 0.125, 0.0625])
    assert [options.bits for options in found] == [8, 7, 6, 5, 4]


def test_a_dead_zone_grows_in_a_line() -> None:
    config = scheduled_config(1, 4, BoundaryOptions(bits=4, dead_zone=0.8))
    found = [stage(config, epoch)[0].dead_zone for epoch in range(6)]
    assert found == pytest.approx([0.0, 0.0, 0.2, 0.4, 0.6, 0.8])


def test_each_boundary_goes_to_its_own_target() -> None:
    config = replace(
        scheduled_config(0, 2, BoundaryOptions(keep=0.25, bits=FLOAT_BITS)), downlink=BoundaryOptions(bits=2)
    )
    uplink, downlink = stage(config, 1)
    assert (uplink.keep, uplink.bits) == (0.5, FLOAT_BITS)
    assert (downlink.keep, downlink.bits) == (1.0, 5)


def test_without_a_schedule_scales_are_renewed_until_they_freeze() -> None:
    config = make_config(epochs=4, calibration_epochs=2)
    assert [stale(config, epoch) for epoch in range(4)] == [(True, True)] * 2 + [(False, False)] * 2
    assert not scheduled(config)


def test_a_change_of_either_boundary_makes_calibrated_scales_stale() -> None:
    config = scheduled_config(1, 2, BoundaryOptions(bits=6), calibration_epochs=1)
    config = replace(config, downlink=BoundaryOptions(bits=8))
    assert [stale(config, epoch) for epoch in range(6)] == [(True, True)] * 4 + [(False, False)] * 2


def test_learned_scales_are_stale_where_bits_change_alone() -> None:
    config = scheduled_config(1, 3, BoundaryOptions(keep=0.2, bits=7, ranges="learned"))
    config = replace(config, downlink=BoundaryOptions(bits=8, ranges="learned"))
    widths = [tuple(options.bits for options in stage(config, epoch)) for epoch in range(7)]
    assert widths == [(32, 32), (8, 8), (8, 8), (8, 8), (7, 8), (7, 8), (7, 8)]
    expected = [(True, True), (True, True), (False, False), (False, False), (True, False)]
    assert [stale(config, epoch) for epoch in range(5)] == expected


def test_without_bits_there_is_nothing_learned_to_lose() -> None:
    config = scheduled_config(1, 2, BoundaryOptions(dead_zone=0.5, ranges="learned"), calibration_epochs=1)
    assert [stale(config, epoch)[0] for epoch in range(5)] == [True, True, True, True, False]
