import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from trainer.figure import new_figure
from trainer.labels import Label, place_labels


def placed(
    labels: list[Label], besides: tuple[tuple[float, float], ...] = ()
) -> tuple[Axes, list[Annotation]]:
    """In a picture of 8 x 6 inches that shows 0 to 1 both ways."""
    figure = new_figure(8, 6)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    place_labels(axes, labels, fontsize=8, besides=besides)
    figure.draw_without_rendering()
    return axes, [text for text in axes.texts if isinstance(text, Annotation)]


def boxes(found: list[Annotation]) -> list[Bbox]:
    """Of the words alone, without the lines that lead there."""
    return [Text.get_window_extent(one) for one in found]


def overlaps(boxes: list[Bbox]) -> int:
    return sum(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), spread=st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_names_cover_neither_each_other_nor_a_point(seed: int, spread: float) -> None:
    points = np.clip(0.5 + spread * np.random.default_rng(seed).normal(size=(8, 2)), 0.1, 0.9)
    axes, found = placed([Label(x, y, f"edge-back {i}") for i, (x, y) in enumerate(points)])
    assert [one.get_text() for one in found] == [f"edge-back {i}" for i in range(8)]
    covered = boxes(found)
    assert overlaps(covered) == 0
    for x, y in axes.transData.transform(points):
        assert not any(box.contains(x, y) for box in covered)
    assert all(axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 for box in covered)


def test_a_name_that_is_alone_stands_close_and_needs_no_line() -> None:
    _, (one,) = placed([Label(0.5, 0.5, "alone", color="red")])
    assert one.arrow_patch is None
    assert one.get_color() == "red"
    assert max(one.get_position()) < 8


def test_a_name_that_had_to_go_far_has_a_line_to_its_point() -> None:
    _, found = placed([Label(0.5, 0.5, "a rather long name") for _ in range(12)])
    assert any(one.arrow_patch is not None for one in found)


@pytest.mark.parametrize(("x", "aligned"), [(0.02, "left"), (0.98, "right")])
def test_a_name_at_the_rim_goes_inwards(x: float, aligned: str) -> None:
    axes, (one,) = placed([Label(x, 0.98, "at the rim")])
    assert one.get_horizontalalignment() == aligned
    assert boxes([one])[0].y1 <= axes.bbox.y1


def test_further_points_are_not_covered() -> None:
    beside = tuple((0.52 + 0.01 * i, 0.52) for i in range(8))
    axes, found = placed([Label(0.5, 0.5, "crowded")], beside)
    (box,) = boxes(found)
    assert not any(box.contains(*at) for at in axes.transData.transform(beside))


def test_what_is_written_already_is_not_covered() -> None:
    figure = new_figure(8, 6)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    written = axes.annotate("in the best place", (0.5, 0.5), xytext=(6, 6), textcoords="offset points")
    place_labels(axes, [Label(0.5, 0.5, "late")], fontsize=8)
    figure.draw_without_rendering()
    (late,) = (text for text in axes.texts if text is not written)
    assert overlaps([Text.get_window_extent(text) for text in (written, late)]) == 0


def test_more_names_than_there_is_room_for_are_all_there() -> None:
    _, found = placed([Label(0.5, 0.5, "a name that needs room") for _ in range(60)])
    assert len(found) == 60
