"""Accuracy and real bytes, over every image of a split.

The three graphs that serving runs are run in torch, and each sample's symbols are encoded by the kernel:
the bytes are measured, not estimated.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from splitwire.frame import encode
from splitwire.plan import BoundarySpec
from splitwire.preprocess import Preprocess
from trainer.data.dataset import Split
from trainer.network import SplitNetwork

__all__ = ["Evaluation", "evaluate", "image_batches", "run_graph"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """accuracy: fraction, 0 to 1. uplink_bytes, downlink_bytes: mean payload per image, without envelope."""

    images: int
    accuracy: float
    loss: float
    uplink_bytes: float
    downlink_bytes: float
    uplink_bytes_p95: float
    downlink_bytes_p95: float

    def to_json(self) -> dict[str, float | int]:
        return asdict(self)


@torch.no_grad()
def evaluate(
    network: SplitNetwork, split: Split, preprocess: Preprocess, batch_size: int = 256
) -> Evaluation:
    """Classifies every image of `split`, each sample encoded on its own, as a request is."""
    network.eval()
    graphs = network.graphs()
    correct, loss = 0, 0.0
    uplink: list[int] = []
    downlink: list[int] = []
    for images, targets in image_batches(split, preprocess, batch_size):
        up = run_graph(graphs["head"], images)
        down = run_graph(graphs["body"], up)
        logits = (run_graph(graphs["tail"], down) if "tail" in graphs else down).cpu()
        correct += int((logits.argmax(1) == targets).sum())
        loss += float(cross_entropy(logits, targets, reduction="sum"))
        uplink += _payload_bytes(up, network.uplink.spec)
        downlink += _payload_bytes(down, network.downlink.spec)
    return Evaluation(
        images=len(split),
        accuracy=correct / len(split),
        loss=loss / len(split),
        uplink_bytes=float(np.mean(uplink)),
        downlink_bytes=float(np.mean(downlink)),
        uplink_bytes_p95=float(np.percentile(uplink, 95)),
        downlink_bytes_p95=float(np.percentile(downlink, 95)),
    )


def image_batches(
    split: Split, preprocess: Preprocess, batch_size: int, order: NDArray[np.int64] | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """(images (n, 3, H, W) float32, targets (n,) int64) in `order`, the last batch possibly smaller."""
    order = np.arange(len(split)) if order is None else order
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        images = torch.from_numpy(preprocess.normalize(split.images[chosen]))
        yield images, torch.from_numpy(split.targets[chosen])


def run_graph(graph: nn.Module, x: Tensor) -> Tensor:
    """A serving graph in torch, on whatever device its layers are."""
    device = next(graph.parameters()).device
    y: Tensor = graph(x.to(device))
    return y


def _payload_bytes(symbols: Tensor, boundary: BoundarySpec) -> list[int]:
    return [len(encode(sample[None], boundary).payload) for sample in symbols.cpu().numpy()]
