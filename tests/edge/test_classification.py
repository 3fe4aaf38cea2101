import numpy as np
import pytest

from edge.classification import top
from splitwire.errors import GraphError

LABELS = ("cat", "dog", "horse")


def test_the_most_probable_first_and_ties_in_class_order() -> None:
    found = top(np.array([0.0, 2.0, 0.0], np.float32), LABELS, 3)
    assert [prediction.label for prediction in found] == ["dog", "cat", "horse"]
    assert [prediction.index for prediction in found] == [1, 0, 2]
    assert sum(prediction.probability for prediction in found) == pytest.approx(1.0)
    assert found[1].probability == found[2].probability == pytest.approx(1 / (2 + np.e**2))


def test_no_more_than_asked_for() -> None:
    assert [prediction.label for prediction in top(np.array([3, 2, 1], np.float32), LABELS, 1)] == ["cat"]


def test_logits_that_exponentials_would_not_fit() -> None:
    found = top(np.array([1e4, -1e4, 0], np.float32), LABELS, 1)
    assert (found[0].label, found[0].probability) == ("cat", 1.0)


@pytest.mark.parametrize("logit", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_the_graph_s_failure(logit: float) -> None:
    with pytest.raises(GraphError, match="not finite"):
        top(np.array([0.0, logit, 1.0], np.float32), LABELS, 1)
