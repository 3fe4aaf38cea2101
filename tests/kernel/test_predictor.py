import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from splitwire.errors import PlanError
from splitwire.predictor import MAX_PREDICTED_CHANNELS, Expectations, Predictor

ZERO = 8


def alike_channels(seed: int = 0, *, rows: int = 200) -> NDArray[np.int64]:
    """Levels (rows, 3, 4, 5): the second channel follows the first, the third the second's neighbour."""
    levels = np.random.default_rng(seed).integers(-4, 5, (rows, 3, 4, 5))
    levels[:, 1] = -levels[:, 0]
    levels[:, 2, :, :-1] = levels[:, 1, :, 1:]
    levels[:, 2, :, -1] = 0
    return levels


def random_predictor(seed: int, channels: int = 3) -> Predictor:
    rng = np.random.default_rng(seed)
    known = Predictor.fit(rng.integers(-8, 8, (5, channels, 3, 3))).weights != 0
    weights = rng.integers(-255, 256, known.shape) * known
    return Predictor(weights, rng.integers(-999, 1000, channels))


def context_by_hand(predictor: Predictor, sample: NDArray[np.integer[Any]], c: int, y: int, x: int) -> int:
    """docs/wire-format.md word by word."""
    expected = int(predictor.bias[c])
    for d in range(c + 1):
        for place in range(9):
            line, column = y + place // 3 - 1, x + place % 3 - 1
            if 0 <= line < sample.shape[1] and 0 <= column < sample.shape[2]:
                expected += int(predictor.weights[c, d, place]) * int(sample[d, line, column])
    return max(-8, min(8, expected // 16)) + 8


@given(st.integers(0, 2**32))
def test_contexts_are_what_is_specified(seed: int) -> None:
    predictor = random_predictor(seed)
    levels = np.random.default_rng(seed).integers(-8, 8, (2, 3, 3, 4))
    found = predictor.contexts(levels)
    for row, c, y, x in np.ndindex(levels.shape):
        assert found[row, c, y, x] == context_by_hand(predictor, levels[row], c, y, x)


@given(st.integers(0, 2**32), st.integers(0, 15))
def test_expectations_of_what_arrives_are_those_of_the_whole(seed: int, zero: int) -> None:
    predictor = random_predictor(seed)
    symbols = np.random.default_rng(seed).integers(0, 16, (3, 4, 5), np.uint8)
    levels = symbols.astype(int) - zero
    contexts = predictor.contexts(levels[None])[0]
    expectations = Expectations(predictor, 4, 5, zero)
    for c in range(3):
        left, above = predictor.own_weights(c)
        expected = expectations.of(c).astype(int)
        expected[:, 1:] += left * levels[c, :, :-1]
        expected[1:] += above * levels[c, :-1]
        assert (np.clip(expected // 16, -8, 8) + 8 == contexts[c]).all()
        expectations.learn(c, symbols[c].tobytes())


def test_a_symbol_has_no_part_in_its_own_context_nor_in_those_before() -> None:
    predictor, levels = random_predictor(1), alike_channels(rows=1)
    before = predictor.contexts(levels).reshape(3, -1)
    changed = levels.copy()
    changed[0, 1, 2, 3] += 3
    after = predictor.contexts(changed).reshape(3, -1)
    assert (before[0] == after[0]).all()
    assert (before[1, : 2 * 5 + 4] == after[1, : 2 * 5 + 4]).all()
    assert (before[2] != after[2]).any()


def test_the_fit_finds_what_follows_from_what() -> None:
    levels = alike_channels(rows=2000)
    contexts = Predictor.fit(levels).contexts(levels)
    quarters = np.clip(4 * levels, -8, 8) + 8
    assert (contexts[:, 1:] == quarters[:, 1:]).mean() > 0.99
    assert (contexts[:, 0] == 8).mean() > 0.9, "noise is expected to be about zero"


def test_the_beginning_is_the_sum_of_two_neighbours() -> None:
    levels = alike_channels(rows=2)
    sums = np.zeros_like(levels)
    sums[..., 1:] += levels[..., :-1]
    sums[..., 1:, :] += levels[..., :-1, :]
    assert (Predictor.of_neighbours(3).contexts(levels) == sums.clip(-8, 8) + 8).all()


def test_silent_channels_and_single_rows_are_fitted_too() -> None:
    assert (Predictor.fit(np.zeros((1, 2, 1, 1), int)).contexts(np.zeros((1, 2, 1, 1), int)) == 8).all()


def test_sums_are_exact_at_their_largest() -> None:
    """As integers they are by definition; they are computed in float32."""
    channels = MAX_PREDICTED_CHANNELS
    known = np.tril(np.ones((channels, channels), int), -1)[..., None]
    predictor = Predictor(255 * known * np.ones(9, int), np.zeros(channels, int))
    levels = np.full((1, channels, 5, 5), 31)
    exact = 255 * 31 * 9 * (channels - 1)
    assert predictor.rows[-1].astype(float).sum() * 31 == exact
    assert float(predictor.rows[-1] @ np.full(9 * channels, 31, np.float32)) == exact
    assert predictor.contexts(levels)[0, -1, 2, 2] == 16


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_json_is_an_identity(seed: int, channels: int) -> None:
    predictor = random_predictor(seed, channels)
    found = Predictor.from_json(json.loads(json.dumps(predictor.to_json())))
    assert found == predictor
    assert hash(found) == hash(predictor)
    assert found != Predictor(predictor.weights, predictor.bias + 1)
    assert found != predictor.to_json()


GOOD: dict[str, Any] = {"bias": [8, 8], "weights": [[1, 2], [*range(9), 3, 4]]}


def test_weights_are_those_of_known_symbols_in_order() -> None:
    weights = Predictor.from_json(GOOD).weights
    assert weights[0, 0].tolist() == [0, 1, 0, 2, 0, 0, 0, 0, 0]
    assert weights[1].tolist() == [list(range(9)), [0, 3, 0, 4, 0, 0, 0, 0, 0]]
    assert not weights[0, 1].any()


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        GOOD | {"shift": 4},
        GOOD | {"bias": [8]},
        GOOD | {"bias": [8, 8.0]},
        GOOD | {"bias": [8, True]},
        GOOD | {"bias": [8, 2**15 + 1]},
        GOOD | {"bias": "88"},
        GOOD | {"bias": [], "weights": []},
        GOOD | {"weights": None},
        GOOD | {"weights": [[1, 2], [1, 2]]},
        GOOD | {"weights": [[1, 256], [0] * 11]},
        GOOD | {"weights": [[1, 2**70], [0] * 11]},
        GOOD | {"weights": [[1, 2], ["0"] * 11]},
        {"bias": [0] * 65, "weights": [[0, 0]] * 65},
    ],
    ids=str,
)
def test_what_is_no_json_of_a_predictor(value: object) -> None:
    with pytest.raises(PlanError, match="predictor"):
        Predictor.from_json(value)


def changed(c: int, d: int, place: int, weight: int) -> NDArray[np.int64]:
    weights = np.zeros((2, 2, 9), int)
    weights[c, d, place] = weight
    return weights


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        (changed(0, 1, 4, 1), "not known"),
        (changed(0, 0, 4, 1), "not known"),
        (changed(1, 1, 5, 1), "not known"),
        (changed(1, 0, 4, -256), "at most 255"),
        (np.zeros((2, 2, 8), int), r"\(C, C, 9\)"),
        (np.zeros((2, 3, 9), int), r"\(C, C, 9\)"),
    ],
)
def test_impossible_weights(weights: NDArray[np.int64], why: str) -> None:
    with pytest.raises(PlanError, match=why):
        Predictor(weights, np.zeros(2, int))


def test_no_channels_or_too_many() -> None:
    for channels in (0, MAX_PREDICTED_CHANNELS + 1):
        with pytest.raises(PlanError, match="1 to 64 channels"):
            Predictor(np.zeros((channels, channels, 9), int), np.zeros(channels, int))
