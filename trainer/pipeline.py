"""The split network as a GPipe: micro-batches flow through head, body and tail, each on its device.

Source: Huang et al., "GPipe", NeurIPS 2019; implementation: torchgpipe.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torchgpipe import GPipe

from splitwire.errors import ConfigError
from trainer.batchnorm import defer_batch_norm
from trainer.network import SplitNetwork
from trainer.workers import spare_threads

__all__ = ["build_pipeline", "on_cpu"]


def build_pipeline(
    network: SplitNetwork, *, edge_device: str, cloud_device: str, chunks: int, checkpoint: str
) -> GPipe:
    """Moves head and tail to `edge_device`, the body to `cloud_device`, and chains them.

    Args:
        chunks: micro-batches per mini-batch.
        checkpoint: one of trainer.config.CHECKPOINT_MODES.

    Raises:
        ConfigError: a device that does not exist here.
    """
    where = {"head": edge_device, "body": cloud_device, "tail": edge_device}
    partitions = network.partitions
    defer_batch_norm(network, chunks)
    spare_threads()
    return GPipe(
        nn.Sequential(OrderedDict[str, nn.Module](partitions)),
        balance=[1] * len(partitions),
        devices=[_device(where[name]) for name in partitions],
        chunks=chunks,
        checkpoint=checkpoint,
    )


@contextmanager
def on_cpu(pipeline: GPipe) -> Iterator[None]:
    """All partitions on the CPU for a while, where layers can be run without the pipeline around them."""
    for partition in pipeline.partitions:
        partition.cpu()
    try:
        yield
    finally:
        for partition, device in zip(pipeline.partitions, pipeline.devices, strict=True):
            partition.to(device)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"no device {name!r} here: {str(error).splitlines()[0]}") from None
    return device
