import pickle
from pathlib import Path

import numpy as np
import pytest

from trainer.data.unpickling import unpickle


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_containers_and_arrays(protocol: int) -> None:
    value = {"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [1, 2], "names": ("a", "b")}
    found = unpickle(pickle.dumps(value, protocol=protocol))
    np.testing.assert_array_equal(found.pop("data"), value.pop("data"))
    assert found == value


@pytest.mark.parametrize("value", [Path("a"), np.arange(3.0), len, np.float32(1)], ids=str)
def test_nothing_else(value: object) -> None:
    with pytest.raises(pickle.UnpicklingError, match="allowed"):
        unpickle(pickle.dumps(value, protocol=2))
