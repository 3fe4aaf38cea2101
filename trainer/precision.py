"""Which precision is worth choosing on which machine."""

import torch

from trainer.config import TrainConfig

__all__ = ["bf16_warning", "has_bf16"]


def has_bf16(device: str) -> bool:
    """Whether a device, by its type, multiplies matrices in bfloat16: a CPU may have to do it by float32."""
    return device != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def bf16_warning(config: TrainConfig) -> str | None:
    """What to tell a user whose CPU has to do bfloat16 by float32, which takes many times as long."""
    on_cpu = "cpu" in (config.edge_device, config.cloud_device)
    if not (config.bf16 and on_cpu) or has_bf16("cpu"):
        return None
    return (
        "warning: this CPU has no instructions for bfloat16, and emulating them takes many times as long as "
        "float32: leave out --bf16"
    )
