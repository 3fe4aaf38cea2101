"""Target: any bytes as a manifest. `splitwire.manifest.Manifest.from_bytes`."""

import json
import random
from typing import Any

from splitwire.errors import ManifestError
from splitwire.manifest import Manifest

__all__ = ["allowance", "check", "mutate", "seeds"]

#: What a value may become.
_ODD: tuple[Any, ...] = (
    *(None, True, False, "", "\ud800", "a", [], {}, [[[]]], [[[4096]]], [1024] * 4),
    *(0, 1, -1, 2, 3, 8, 32, 128, 4096, 65536, 2**31, 2**62, 2**63, 2**64, 10**400),
    *(0.0, -0.0, 0.5, 1.0, 1e-320, 1e308),
)


def check(data: bytes) -> None:
    """A manifest that is itself again when written and read, or a ManifestError."""
    try:
        manifest = Manifest.from_bytes(data)
    except ManifestError:
        return
    try:
        written = manifest.to_bytes()
    except ManifestError as error:  # half a surrogate pair, which JSON can escape and UTF-8 cannot hold
        if "surrogates" not in str(error):
            raise
        return
    assert Manifest.from_bytes(written) == manifest


def allowance(data: bytes) -> int:
    """Bytes that `check` may allocate: JSON of a few characters is an object of a hundred bytes."""
    return (256 << 10) + 128 * len(data)


def mutate(data: bytes, seed: int) -> bytes | None:
    """The same JSON but for one value, or one key; None: `data` is no JSON."""
    choose = random.Random(seed)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    places = list(_places(value))
    if not places:
        return None
    container, key = choose.choice(places)
    _change(container, key, choose)
    return json.dumps(value, separators=(",", ":")).encode()


def seeds() -> list[bytes]:
    """Two with a tail and tables, of a predictor and of none, one without either."""
    whole = {
        "format_version": 3,
        "name": "a",
        "model": {"input_size": 8, "num_classes": 2},
        "labels": ["a", "b"],
        "preprocess": {"size": 8, "resize": 8, "mean": [0.5] * 3, "std": [0.5] * 3},
        "plan": {"front": 3, "back": 1},
        "uplink": _boundary([1, 2, 2]) | {"tables": [[[1024] * 4] * 9]},
        "downlink": _boundary([3]) | {"tables": [[[4093, 1, 1, 1]]] * 3},
        "files": {f"{role}.onnx": {"sha256": "0" * 64, "bytes": 1} for role in ("head", "body", "tail")},
        "metrics": {"accuracy": 0.5},
        "versions": {},
    }
    plain = whole | {
        "plan": {"front": 1, "back": 0},
        "uplink": _boundary([4]),
        "downlink": {"shape": [2], "keep": 1.0, "bits": 32, "zero": 0},
        "files": {f"{role}.onnx": {"sha256": "0" * 64, "bytes": 1} for role in ("head", "body")},
    }
    predicted = whole | {
        "uplink": _boundary([2, 1, 1])
        | {
            "tables": [[[1024] * 4] * 17] * 2,
            "predictor": {"bias": [8, 8], "weights": [[16, 16], [1, -2, 3, 0, 5, 6, 7, 8, 9, 16, 16]]},
        },
    }
    return [json.dumps(value, separators=(",", ":")).encode() for value in (whole, predicted, plain)]


def _boundary(shape: list[int]) -> dict[str, Any]:
    return {"shape": shape, "keep": 1.0, "bits": 2, "zero": 1}


def _places(value: Any) -> Any:
    """Every (container, key) in `value`."""
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _change(container: Any, key: Any, choose: random.Random) -> None:
    kind = choose.randrange(4)
    if kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, dict):
        container[choose.choice(("", "tables", "predictor", "tail.onnx", key + "x"))] = container.pop(key)
    elif kind == 2 and type(container[key]) is int:
        container[key] += choose.choice((-1, 1, 1 << choose.randrange(64)))
    else:
        container[key] = choose.choice(_ODD)
