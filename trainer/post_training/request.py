"""What a split without training is asked for. Imports no torch, as trainer/config.py."""

from dataclasses import dataclass
from pathlib import Path

from splitwire.errors import ConfigError
from splitwire.plan import SplitPlan
from trainer.data.preprocessing import PreprocessOptions

__all__ = ["SplitRequest"]


@dataclass(frozen=True, slots=True)
class SplitRequest:
    """weights: torchvision's state dict or a bundle. calibrate: a folder of images. labels: a file with one a
    line; None: the weights' own. max_drop: points of accuracy that may be lost. distill_steps: of training on
    the calibration images, without labels, after the fit.

    Raises:
        ConfigError: a number is out of range.
    """

    plan: SplitPlan
    weights: Path
    calibrate: Path
    preprocess: PreprocessOptions
    labels: Path | None
    max_drop: float
    distill_steps: int
    seed: int

    def __post_init__(self) -> None:
        if not 0 < self.max_drop <= 100:
            raise ConfigError(f"max-drop must be above 0 and at most 100 points, got {self.max_drop:g}")
        if not 0 <= self.distill_steps <= 100_000:
            raise ConfigError(f"distill-steps must be from 0 to 100,000, got {self.distill_steps}")

    @property
    def name(self) -> str:
        """Of the bundle."""
        return f"{self.weights.stem}-front{self.plan.front}-back{self.plan.back}"
