"""BatchNorm for micro-batches, and statistics that match what evaluation sees.

torchgpipe's DeferredBatchNorm sums activations in their own precision: under bf16 the difference of two
rounded sums can make a variance negative, and the sums read each activation twice more. This one pools
the float32 mean and variance that the normalization of each micro-batch has computed anyway.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torchgpipe import is_recomputing

__all__ = ["DeferredBatchNorm2d", "defer_batch_norm", "reestimate_batch_norm"]


class DeferredBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose running statistics are those of the mini-batch, pooled over `chunks` micro-batches.

    Each micro-batch is normalized by its own statistics, as in GPipe (Huang et al., 2019, section 2.2).
    frozen: it is in evaluation mode whatever `train` says, and its statistics stay.
    """

    def __init__(self, features: int, chunks: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__(features, eps, momentum)
        self.chunks, self.frozen = chunks, False
        self._moments: list[tuple[int, Tensor, Tensor]] = []

    def train(self, mode: bool = True) -> "DeferredBatchNorm2d":
        return super().train(mode and not self.frozen)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or (self.chunks == 1 and not is_recomputing()):
            return super().forward(x)  # nothing to pool
        y, mean, inverse_std = torch.native_batch_norm(
            x, self.weight, self.bias, None, None, True, 0.0, self.eps
        )
        # Checkpointing runs the forward pass twice; only the first run is new data.
        if not is_recomputing():
            self._track(x.numel() // x.size(1), mean.detach(), inverse_std.detach())
        return y

    def _track(self, count: int, mean: Tensor, inverse_std: Tensor) -> None:
        variance = inverse_std.float().pow(-2) - self.eps
        self._moments.append((count, mean.float(), variance))
        if len(self._moments) == self.chunks:
            self._commit()

    @torch.no_grad()
    def _commit(self) -> None:
        counts = [count for count, _, _ in self._moments]
        total = sum(counts)
        share = torch.tensor(counts, device=self._moments[0][1].device).unsqueeze(1) / total
        means = torch.stack([mean for _, mean, _ in self._moments])
        variances = torch.stack([variance for _, _, variance in self._moments])
        mean = (share * means).sum(0)
        # The variance within micro-batches plus that between them: no difference of large numbers.
        variance = (share * (variances + (means - mean).square())).sum(0)
        unbiased = variance * (total / max(1, total - 1))
        self._moments.clear()
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        weight = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        assert self.running_mean is not None
        assert self.running_var is not None
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(unbiased, weight)


def defer_batch_norm(module: nn.Module, chunks: int) -> None:
    """Replaces, in place, every BatchNorm2d below `module` by a deferred one with the same tensors."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            deferred = DeferredBatchNorm2d(child.num_features, chunks, child.eps, child.momentum)
            deferred.weight, deferred.bias = child.weight, child.bias
            for buffer in ("running_mean", "running_var", "num_batches_tracked"):
                setattr(deferred, buffer, getattr(child, buffer))
            setattr(module, name, deferred)
        else:
            defer_batch_norm(child, chunks)


@torch.no_grad()
def reestimate_batch_norm(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets the running statistics to the plain mean over `batches` of (N, 3, H, W), run in training mode.

    The running averages of training lag behind the weights and remember boundaries of other scales.
    Those of frozen layers stay, and others are estimated behind them. Momentum and mode are as before
    afterwards. Source: Wu & Johnson, "Rethinking 'Batch' in BatchNorm", 2021.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d) and not _frozen(m)]
    momenta = [norm.momentum for norm in norms]
    was_training = module.training
    module.train()
    for dropout in (m for m in module.modules() if isinstance(m, nn.Dropout)):
        dropout.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
    try:
        for batch in batches:
            module(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        module.train(was_training)


def _frozen(norm: nn.BatchNorm2d) -> bool:
    return isinstance(norm, DeferredBatchNorm2d) and norm.frozen
