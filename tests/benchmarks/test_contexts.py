import numpy as np
import pytest

from benchmarks.packing.contexts import compare
from splitwire.errors import PlanError
from splitwire.plan import BoundarySpec
from splitwire.rans import CODERS
from tests.kernel.test_tables import alike, smooth_maps


def test_the_better_the_contexts_the_fewer_the_bytes() -> None:
    boundary = BoundarySpec((3, 8, 8), 1.0, 4, 8)
    seen, new = (alike(smooth_maps(seed, rows=100)) for seed in (0, 1))
    found = list(compare(boundary, seen, new[:20], repeats=1))
    assert all(contexts.encode_us > 0 and contexts.decode_us > 0 for contexts in found)
    for coder in CODERS:
        none, neighbours, predicted = (contexts for contexts in found if contexts.coder == coder.name)
        assert [contexts.name.split()[0] for contexts in (none, neighbours)] == ["none:", "the"]
        assert none.payload > neighbours.payload > predicted.payload
        assert str(predicted).startswith(f"| prediction | {coder.name} | ")


@pytest.mark.parametrize("boundary", [BoundarySpec((3,), 1.0, 4, 8), BoundarySpec((3, 8, 8), 1.0, 8, 128)])
def test_what_has_no_contexts_to_compare(boundary: BoundarySpec) -> None:
    symbols = np.zeros((2, *boundary.shape), np.uint8)
    with pytest.raises(PlanError, match="maps of at most 5 bits"):
        next(compare(boundary, symbols, symbols, repeats=1))
