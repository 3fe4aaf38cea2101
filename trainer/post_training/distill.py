"""A short training of the cloud's layers towards the unsplit network's own answers. It needs no labels.

What crosses stays as it is: head, scales and symbols are not touched. Some of the images are held out, and
the weights that answer best on those are kept, which may be the ones from before.
Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, at temperature 1.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax
from tqdm import tqdm

from trainer.network import SplitNetwork
from trainer.post_training.answers import Agreement, compare_answers

__all__ = ["Distilled", "distill"]

_BATCH = 25
_LEARNING_RATE = 3e-5

#: How often the images held out are looked at, in steps.
_EVERY = 20

#: Every fourth image is held out.
_HELD_OUT = 4


@dataclass(frozen=True, slots=True)
class Distilled:
    """Mean KL of the held-out images' answers, in nats, before the first step and of what was kept.

    held_out: how many images these were, each also mirrored. agreement: of what was kept, on them.
    """

    before: float
    after: float
    held_out: int
    agreement: Agreement

    @property
    def improved(self) -> bool:
        """Whether weights were kept that are not those from before."""
        return self.after < self.before


def distill(
    network: SplitNetwork,
    unsplit: Callable[[Tensor], Tensor],
    pixels: Tensor,
    *,
    steps: int,
    seed: int,
    progress: bool,
) -> Distilled:
    """unsplit: pixels (n, 3, H, W) -> logits; not of the network's own layers, whose weights change."""
    symbols, answers, held_out = _prepare(network, unsplit, pixels)
    learned = [p for part in (network.body, network.tail) for p in part.parameters()]
    for parameter in learned:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(learned, lr=_LEARNING_RATE)
    before = _divergence(network, symbols[held_out], answers[held_out])
    best, kept = before, deepcopy(network.state_dict())
    batches = _batches((~held_out).nonzero().squeeze(1), seed)
    for step in tqdm(range(1, steps + 1), "distillation", disable=not progress, leave=False):
        chosen = next(batches)
        optimizer.zero_grad()
        _kl(_answer(network, symbols[chosen]), answers[chosen]).backward()
        optimizer.step()
        if step % _EVERY == 0 or step == steps:
            found = _divergence(network, symbols[held_out], answers[held_out])
            if found < best:
                best, kept = found, deepcopy(network.state_dict())
    network.load_state_dict(kept)
    network.requires_grad_(False)
    agreement = compare_answers(answers[held_out], _answers(network, symbols[held_out]))
    return Distilled(before, best, int(held_out.sum()) // 2, agreement)


@torch.no_grad()
def _prepare(
    network: SplitNetwork, unsplit: Callable[[Tensor], Tensor], pixels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of the images and their mirror images: symbols, log-probabilities, and which are held out."""
    both = torch.cat([pixels, pixels.flip(3)])
    head = network.graphs()["head"]
    symbols = torch.cat([head(batch) for batch in both.split(_BATCH)])
    answers = torch.cat([log_softmax(unsplit(batch), dim=1) for batch in both.split(_BATCH)])
    return symbols, answers, (torch.arange(len(pixels)) % _HELD_OUT == 0).repeat(2)


def _batches(images: Tensor, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from images[torch.randperm(len(images), generator=generator)].split(_BATCH)


def _divergence(network: SplitNetwork, symbols: Tensor, answers: Tensor) -> float:
    return float(_kl(_answers(network, symbols), answers))


@torch.no_grad()
def _answers(network: SplitNetwork, symbols: Tensor) -> Tensor:
    return torch.cat([_answer(network, batch) for batch in symbols.split(_BATCH)])


def _answer(network: SplitNetwork, symbols: Tensor) -> Tensor:
    logits: Tensor = network.tail(network.body(network.uplink.reconstruct(symbols)))
    return logits


def _kl(logits: Tensor, answers: Tensor) -> Tensor:
    return kl_div(log_softmax(logits, dim=1), answers, reduction="batchmean", log_target=True)
