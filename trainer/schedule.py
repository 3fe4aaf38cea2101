"""What the boundaries do in each epoch: nothing, then more and more, and at last what the bundle does.

    epoch    0 .. uncompressed   .. + anneal_epochs                          .. epochs
             identity            keep 1 -> target, bits 8 -> target         target

Within an epoch they do not change, and an epoch's are a function of the configuration alone, so a resumed run
needs no more than its number. Imports no torch.
"""

from dataclasses import replace

from splitwire.plan import FLOAT_BITS
from trainer.config import BoundaryOptions, TrainConfig

__all__ = ["scheduled", "stage", "stale"]

#: The width that annealing starts from: nearly lossless, and the widest symbol there is.
_WIDEST = 8


def scheduled(config: TrainConfig) -> bool:
    """Whether any epoch's boundaries differ from those of the bundle."""
    return config.settled_from > 0


def stage(config: TrainConfig, epoch: int) -> tuple[BoundaryOptions, BoundaryOptions]:
    """What uplink and downlink do in `epoch`, from 0; before the first they do as in the first."""
    return _at(config, config.uplink, epoch), _at(config, config.downlink, epoch)


def stale(config: TrainConfig, epoch: int) -> tuple[bool, bool]:
    """Whether uplink and downlink are calibrated before `epoch`.

    Where ranges are calibrated: until they are frozen, and after every change of a boundary, since behind it
    other activations cross. Where they are learned: only where bits change, lest what was learned be lost;
    without bits nothing is.
    """
    before, now = stage(config, epoch - 1), stage(config, epoch)
    renewed = epoch < config.frozen_from or before != now
    return tuple(  # type: ignore[return-value]  # of two
        epoch == 0
        or (was.bits != is_.bits if is_.ranges == "learned" and is_.bits != FLOAT_BITS else renewed)
        for was, is_ in zip(before, now, strict=True)
    )


def _at(config: TrainConfig, target: BoundaryOptions, epoch: int) -> BoundaryOptions:
    annealed = max(0, epoch) - config.uncompressed_epochs
    if annealed < 0:
        return replace(target, keep=1.0, bits=FLOAT_BITS, dead_zone=0.0, gradient_bits=None)
    if annealed >= config.anneal_epochs:
        return target
    share = annealed / config.anneal_epochs
    # By equal ratios: each epoch prunes the same share of what is left. In a line, the last of five steps
    # to a keep of 0.05 would take four fifths of it at once.
    return replace(
        target,
        keep=target.keep**share,
        bits=_bits(target.bits, config.anneal_epochs - annealed, config.anneal_epochs),
        dead_zone=target.dead_zone * share,
    )


def _bits(target: int, left: int, epochs: int) -> int:
    """Each width above the target has an equal share of the epochs; in integers, so nothing is rounded."""
    if target == FLOAT_BITS:
        return FLOAT_BITS
    return target + -(-(_WIDEST - target) * left // epochs)
