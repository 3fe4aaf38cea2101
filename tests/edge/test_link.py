import pytest

from edge.link import Link


def test_nothing_is_known_before_the_first_request() -> None:
    assert Link().round_trip is Link().throughput is None


def test_the_first_request_is_taken_as_it_is() -> None:
    link = Link()
    link.note(1000, 0.5)
    assert (link.round_trip, link.throughput) == (0.5, 2000.0)


def test_later_ones_move_it_by_an_eighth() -> None:
    link = Link()
    link.note(800, 1.0)
    link.note(1600, 9.0)
    assert link.round_trip == 2.0
    assert link.throughput == 900 / 2.0


def test_it_follows_a_link_that_changes() -> None:
    link = Link()
    link.note(300, 0.002)
    for _ in range(100):
        link.note(300, 0.2)
    assert link.round_trip == pytest.approx(0.2, rel=0.01)
    assert link.throughput == pytest.approx(1500, rel=0.01)


def test_no_time_is_no_throughput() -> None:
    link = Link()
    link.note(300, 0.0)
    assert link.throughput is None
