"""One training of a sweep: what it is, and how it is recognized in its folder."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.config import TrainConfig, change

__all__ = ["Cell", "Value", "describe"]

Value = int | float | str


@dataclass(frozen=True, slots=True)
class Cell:
    """values: one for each axis, in the order of the axes. arguments: of `trainer`, without where to write.
    sources: weights, teacher and images, where the configuration does not say which.
    """

    values: Mapping[str, Value]
    arguments: tuple[str, ...]
    config: TrainConfig
    sources: Mapping[str, str | None]

    @property
    def name(self) -> str:
        """Of its folder: edge-front-3_keep-0.1_seed-0."""
        parts = (f"{axis}-{value}" for axis, value in self.values.items())
        return "_".join(re.sub(r"[^A-Za-z0-9.+-]", "-", part) for part in parts)

    @property
    def identity(self) -> tuple[TrainConfig, tuple[str | None, ...]]:
        """Equal for two cells that are the same training."""
        return self.config, tuple(self.sources.values())

    def to_json(self) -> dict[str, Any]:
        return {"axes": dict(self.values), "sources": dict(self.sources), "config": self.config.to_json()}

    def differences(self, stored: Mapping[str, Any]) -> list[str]:
        """What differs in a cell that was stored (of `to_json`).

        Raises:
            KeyError, TypeError, AttributeError: it is no cell.
        """
        then = stored["sources"]
        sources = [change(n, then.get(n), now) for n, now in self.sources.items() if then.get(n) != now]
        return self.config.differences(stored["config"], resuming=False) + sources

    def __str__(self) -> str:
        return describe(self.values)


def describe(values: Mapping[str, Value]) -> str:
    """ "edge-front 3, seed 0"."""
    return ", ".join(f"{axis} {value}" for axis, value in values.items())
