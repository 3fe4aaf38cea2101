import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.errors import PlanError
from splitwire.plan import FLOAT_BITS, LAYERS, BoundarySpec, SplitPlan
from splitwire.predictor import Predictor
from splitwire.tables import SymbolTables

GOOD: dict[str, Any] = {"shape": (4, 4, 4), "keep": 1.0, "bits": 3, "zero": 3}

PLANS = [SplitPlan(front, back) for front in range(1, 20) for back in range(20 - front)]


def test_layers_are_twenty_distinct() -> None:
    assert len(LAYERS) == len(set(LAYERS)) == 20
    assert LAYERS[0] == "stem"
    assert LAYERS[-2:] == ("conv_last", "classifier")


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_every_plan_partitions_the_layers(plan: SplitPlan) -> None:
    assert plan.head + plan.body + plan.tail == LAYERS
    assert (len(plan.head), len(plan.tail)) == (plan.front, plan.back)
    assert plan.body
    assert SplitPlan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("front", "back"), [(0, 1), (-1, 1), (1, -1), (19, 1), (10, 10), (True, 1), (1.0, 1)]
)
def test_impossible_plans(front: Any, back: Any) -> None:
    with pytest.raises(PlanError):
        SplitPlan(front, back)


@pytest.mark.parametrize(
    "value", [None, [], {}, {"front": 1}, {"front": 1, "back": 1, "x": 1}, {"front": "1", "back": 1}]
)
def test_plan_json_of_another_form(value: object) -> None:
    with pytest.raises(PlanError):
        SplitPlan.from_json(value)


@given(
    shape=st.one_of(st.tuples(st.integers(1, 2048)), st.tuples(*[st.integers(1, 64)] * 3)),
    keep=st.floats(0, 1, exclude_min=True),
    bits=st.integers(2, 8),
    data=st.data(),
)
def test_boundaries(shape: tuple[int, ...], keep: float, bits: int, data: st.DataObject) -> None:
    spec = BoundarySpec(shape, keep, bits, data.draw(st.integers(0, 2**bits - 1)))
    assert BoundarySpec.from_json(spec.to_json()) == spec
    assert spec.elements == math.prod(shape)
    assert spec.raw_bytes == np.zeros(shape, np.float32).nbytes
    assert spec.dtype == np.uint8
    assert spec.quantized
    assert not spec.off


def test_a_boundary_with_tables() -> None:
    tables = SymbolTables(np.full((5, 9, 4), 1024))
    spec = BoundarySpec((5, 2, 2), 1.0, 2, 1, tables)
    assert BoundarySpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert "tables" not in BoundarySpec((5, 2, 2), 1.0, 2, 1).to_json()
    assert "predictor" not in spec.to_json()


def predicted(channels: int = 5) -> SymbolTables:
    return SymbolTables(np.full((channels, 17, 4), 1024), Predictor.of_neighbours(channels))


def test_a_boundary_with_a_predictor() -> None:
    spec = BoundarySpec((5, 2, 2), 1.0, 2, 1, predicted())
    value = json.loads(json.dumps(spec.to_json()))
    assert BoundarySpec.from_json(value) == spec
    del value["tables"]
    with pytest.raises(PlanError, match="boundary must be an object with exactly"):
        BoundarySpec.from_json(value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((5,), "a predictor is for maps"), ((4, 2, 2), r"\(4, 17, 4\), got \(5, 17, 4\)")],
)
def test_the_predictor_of_another_boundary(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        BoundarySpec(shape, 1.0, 2, 1, predicted())


@pytest.mark.parametrize("predictor", [None, {}, {"bias": [0], "weights": [[0, 0]]}], ids=str)
def test_what_is_no_predictor_of_a_boundary(predictor: object) -> None:
    value = BoundarySpec((5, 2, 2), 1.0, 2, 1, predicted()).to_json()
    with pytest.raises(PlanError, match="predictor"):
        BoundarySpec.from_json(value | {"predictor": predictor})


@pytest.mark.parametrize(
    ("shape", "bits", "tables", "message"),
    [
        ((5, 2, 2), 3, (5, 9, 4), r"tables of this boundary are \(5, 9, 8\), got \(5, 9, 4\)"),
        ((5, 2, 2), 2, (5, 1, 4), r"\(5, 9, 4\), got \(5, 1, 4\)"),
        ((5,), 2, (5, 9, 4), r"\(5, 1, 4\), got \(5, 9, 4\)"),
        ((4, 2, 2), 2, (5, 9, 4), r"\(4, 9, 4\), got \(5, 9, 4\)"),
        ((5, 2, 2), 8, (5, 9, 256), "at most 5 bits, not 8"),
    ],
)
def test_tables_of_another_boundary(
    shape: tuple[int, ...], bits: int, tables: tuple[int, ...], message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        BoundarySpec(shape, 1.0, bits, 0, SymbolTables(np.full(tables, 4096 // tables[2])))


def test_a_boundary_that_is_off() -> None:
    assert BoundarySpec((8,), 1.0, FLOAT_BITS, 0).off
    assert not BoundarySpec((8,), 0.5, FLOAT_BITS, 0).off
    assert BoundarySpec((8,), 1.0, FLOAT_BITS, 0).dtype == np.float32


@pytest.mark.parametrize(
    "fields",
    [
        {"shape": ()},
        {"shape": (2, 2)},
        {"shape": (0,)},
        {"shape": (-4, -4, 4)},
        {"shape": (2.0,)},
        {"shape": (1 << 32, 1 << 32, 1)},
        {"keep": 0.0},
        {"keep": 1.1},
        {"keep": math.nan},
        {"keep": "1"},
        {"bits": 1},
        {"bits": 9},
        {"bits": 16},
        {"bits": True},
        {"zero": -1},
        {"zero": 8},
        {"bits": FLOAT_BITS, "zero": 1},
    ],
    ids=str,
)
def test_impossible_boundaries(fields: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        BoundarySpec(**{**GOOD, **fields})
