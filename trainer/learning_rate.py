"""The learning rate's course over a training."""

import math

from trainer.config import TrainConfig

__all__ = ["learning_rate"]


def learning_rate(config: TrainConfig, epoch: float) -> float:
    """Linear warm-up from a hundredth, then half a cosine to zero; `epoch`, from 0, may lie between two.

    Source: Loshchilov & Hutter, "SGDR", 2017 (one cycle); Goyal et al., 2017 (warm-up).
    """
    if epoch < config.warmup_epochs:
        return config.learning_rate * max(0.01, epoch / config.warmup_epochs)
    left = max(1e-9, config.epochs - config.warmup_epochs)
    progress = min(1.0, (epoch - config.warmup_epochs) / left)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))
