"""Which precision is worth choosing on which machine."""

import torch

from trainer.config import TrainConfig

__all__ = ["bf16_warning"]


def bf16_warning(config: TrainConfig) -> str | None:
    """What to tell a user whose CPU has to do bfloat16 by float32, which takes many times as long."""
    on_cpu = "cpu" in (config.edge_device, config.cloud_device)
    if not (config.bf16 and on_cpu) or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return None
    return (
        "warning: this CPU has no instructions for bfloat16, and emulating them takes many times as long as "
        "float32: leave out --bf16"
    )
