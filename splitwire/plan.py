"""Where the network is cut, and what crosses each cut.

       head            uplink          body          downlink      tail
LAYERS[:front]  ->  BoundarySpec  ->  LAYERS[...]  ->  BoundarySpec  ->  LAYERS[-back:]
     edge                             cloud                           edge
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from splitwire.errors import PlanError
from splitwire.predictor import PREDICTED_CONTEXTS, Predictor
from splitwire.tables import MAX_CODED_BITS, SymbolTables, context_count

__all__ = ["FLOAT_BITS", "LAYERS", "BoundarySpec", "SplitPlan"]

#: MobileNetV2 as a flat sequence; the pipeline, the plan and the user count these.
LAYERS: tuple[str, ...] = ("stem", *(f"block{i}" for i in range(1, 18)), "conv_last", "classifier")

#: Symbol width of a boundary that does not quantize: its symbols are float32.
FLOAT_BITS = 32

#: No activation of a MobileNetV2 comes near this; it keeps sizes far from integer overflow.
_MAX_ELEMENTS = 1 << 26


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """The first `front` layers are the head, the last `back` the tail, the rest the body.

    Raises:
        PlanError: unless 1 <= front, 0 <= back and front + back <= 19 (the body needs a layer).
    """

    front: int
    back: int

    def __post_init__(self) -> None:
        for name, value, least in (("front", self.front, 1), ("back", self.back, 0)):
            if type(value) is not int or value < least:
                raise PlanError(f"edge-{name} must be an integer of at least {least}, got {value!r}")
        if self.front + self.back > len(LAYERS) - 1:
            raise PlanError(
                f"edge-front {self.front} + edge-back {self.back} leave the cloud no layer: "
                f"together they may be at most {len(LAYERS) - 1}"
            )

    @property
    def head(self) -> tuple[str, ...]:
        return LAYERS[: self.front]

    @property
    def body(self) -> tuple[str, ...]:
        return LAYERS[self.front : len(LAYERS) - self.back]

    @property
    def tail(self) -> tuple[str, ...]:
        return LAYERS[len(LAYERS) - self.back :]

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> "SplitPlan":
        """Raises PlanError unless `value` is an object with exactly front and back."""
        return cls(**_exact_keys(value, ("front", "back"), "plan"))


@dataclass(frozen=True, slots=True)
class BoundarySpec:
    """What crosses one boundary, for one sample.

    shape: (C, H, W) or (C,). keep: kept fraction, in (0, 1]. bits: symbol width, 2 to 8, or
    FLOAT_BITS where nothing is quantized. zero: the symbol that stands for 0.0. tables: of an entropy coder,
    for narrow symbols; None: frames are packed without one.

    Raises:
        PlanError: a field is out of range.
    """

    shape: tuple[int, ...]
    keep: float
    bits: int
    zero: int
    tables: SymbolTables | None = None

    def __post_init__(self) -> None:
        if len(self.shape) not in (1, 3) or any(type(d) is not int or d < 1 for d in self.shape):
            raise PlanError(
                f"a boundary's shape is (C, H, W) or (C,) of positive integers, got {self.shape!r}"
            )
        if math.prod(self.shape) > _MAX_ELEMENTS:
            raise PlanError(f"a boundary of {self.shape} is larger than {_MAX_ELEMENTS} elements")
        if not isinstance(self.keep, (int, float)) or not 0.0 < self.keep <= 1.0:
            raise PlanError(f"keep must be above 0 and at most 1, got {self.keep!r}")
        if type(self.bits) is not int or self.bits not in (*range(2, 9), FLOAT_BITS):
            raise PlanError(f"bits must be 2 to 8, or {FLOAT_BITS} for none, got {self.bits!r}")
        levels = 1 << self.bits if self.quantized else 1
        if type(self.zero) is not int or not 0 <= self.zero < levels:
            raise PlanError(f"zero must be from 0 to {levels - 1} at {self.bits} bits, got {self.zero!r}")
        if self.tables is not None:
            self._check_tables(self.tables)

    @property
    def quantized(self) -> bool:
        return self.bits != FLOAT_BITS

    @property
    def off(self) -> bool:
        """Whether the boundary is the identity."""
        return not self.quantized and self.keep == 1.0

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def raw_bytes(self) -> int:
        """Size of one sample's activation as dense float32."""
        return 4 * self.elements

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the graphs exchange: uint8 symbols, or float32 where nothing is quantized."""
        return np.dtype(np.uint8 if self.quantized else np.float32)

    def _check_tables(self, tables: SymbolTables) -> None:
        if self.bits > MAX_CODED_BITS:
            raise PlanError(f"tables are for symbols of at most {MAX_CODED_BITS} bits, not {self.bits}")
        predicted = tables.predictor is not None
        if predicted and len(self.shape) == 1:
            raise PlanError(f"a predictor is for maps (C, H, W), not for a boundary of {self.shape}")
        contexts = PREDICTED_CONTEXTS if predicted else context_count(len(self.shape))
        expected = (self.shape[0], contexts, 1 << self.bits)
        if tables.shape != expected:
            raise PlanError(f"tables of this boundary are {expected}, got {tables.shape}")

    def to_json(self) -> dict[str, object]:
        """Without `tables` where there are none, and without `predictor` where these have none."""
        value: dict[str, object] = {
            "shape": list(self.shape),
            "keep": self.keep,
            "bits": self.bits,
            "zero": self.zero,
        }
        if self.tables is None:
            return value
        value["tables"] = self.tables.to_json()
        predictor = self.tables.predictor
        return value if predictor is None else value | {"predictor": predictor.to_json()}

    @classmethod
    def from_json(cls, value: object) -> "BoundarySpec":
        """Raises PlanError unless `value` is what `to_json` makes of one."""
        present = value if isinstance(value, Mapping) else {}
        coding = [key for key in ("tables", "predictor") if "tables" in present and key in present]
        fields = _exact_keys(value, ("shape", "keep", "bits", "zero", *coding), "boundary")
        if not isinstance(fields["shape"], list):
            raise PlanError(f"a boundary's shape must be a list, got {fields['shape']!r}")
        if coding:
            predictor = Predictor.from_json(fields.pop("predictor")) if "predictor" in coding else None
            fields["tables"] = SymbolTables.from_json(fields["tables"], predictor)
        return cls(**fields | {"shape": tuple(fields["shape"])})


def _exact_keys(value: object, keys: tuple[str, ...], what: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or set(value) != set(keys):
        raise PlanError(f"{what} must be an object with exactly {', '.join(keys)}, got {value!r}")
    return dict(value)
