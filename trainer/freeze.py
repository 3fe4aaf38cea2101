"""Layers that are not trained: they keep what published weights gave them."""

from trainer.batchnorm import DeferredBatchNorm2d
from trainer.model import MobileNetV2

__all__ = ["freeze"]


def freeze(model: MobileNetV2, count: int) -> None:
    """Takes the first `count` of splitwire.plan.LAYERS out of training, for good.

    Their parameters get no gradients, and so the optimizer nothing to move. Their BatchNorm, which must have
    been deferred, normalizes by its statistics in training too: they compute what they will in service.
    """
    for layer in list(model.layers)[:count]:
        layer.requires_grad_(False)
        for norm in (m for m in layer.modules() if isinstance(m, DeferredBatchNorm2d)):
            norm.frozen = True
            norm.eval()
