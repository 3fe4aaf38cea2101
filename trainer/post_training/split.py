"""A trained network -> a split one, without training and without labels.

images -> head -> activations --Search--> bottleneck and scales of the uplink
                       \\-> body -> features --clip of least divergence--> scales of the downlink
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from splitwire.frame import encode
from splitwire.plan import SplitPlan
from splitwire.rans import MAX_CODED_SYMBOLS
from trainer.boundary import Boundary
from trainer.config import Bottleneck, BoundaryOptions
from trainer.linear import LinearDecoder, LinearEncoder
from trainer.model import MobileNetV2
from trainer.network import SplitNetwork
from trainer.post_training.answers import compare_answers
from trainer.post_training.quantizer import BITS, BlockQuantizer, Quantizer
from trainer.post_training.search import Candidate, Sample, Search
from trainer.post_training.sensitivity import measure_sensitivity

__all__ = ["Chosen", "fit_tables", "split_network"]

#: Of the downlink: more cost bytes and change nothing.
_DOWNLINK_BITS = 4

#: In root mean squares of a channel: where the downlink's grid may end.
_CLIPS = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0)

_BATCH = 50


@dataclass(frozen=True, slots=True)
class Chosen:
    """uplink: what the search found, with the downlink's quantization behind it. downlink_bytes: mean, of
    calibration images. uplink_options, downlink_options: of the network; without a tail the last are off."""

    uplink: Candidate
    downlink_bytes: float
    uplink_options: BoundaryOptions
    downlink_options: BoundaryOptions


@torch.no_grad()
def split_network(
    model: MobileNetV2,
    plan: SplitPlan,
    pixels: Tensor,
    *,
    max_drop: float,
    seed: int,
    progress: bool,
) -> tuple[SplitNetwork, Chosen]:
    """pixels: float32 (n, 3, size, size). max_drop: points of accuracy, at most `Agreement.bound`.

    Raises:
        ConfigError: no quantization loses as little as that.
    """
    model.eval()
    model.requires_grad_(False)
    plain = SplitNetwork(model, plan, BoundaryOptions(), BoundaryOptions()).eval()
    activations = _in_batches(plain.head, pixels)
    features = _in_batches(plain.body, activations)
    answers = _in_batches(plain.tail, features)
    downlink, downlink_options = _downlink(model, plan, features, answers)
    with torch.enable_grad():
        sensitivity = measure_sensitivity(
            lambda x: plain.tail(plain.body(x)), activations, seed=seed, progress=progress
        )

    def rest(x: Tensor) -> Tensor:
        return _in_batches(lambda batch: plain.tail(downlink(plain.body(batch))), x)

    sample = Sample(activations, plain.uplink.signed, answers, rest, sensitivity)
    search = Search(sample, progress=progress)
    found = search.cheapest(max_drop)
    quantizer = search.fit(found.choice)
    uplink_options = _uplink_options(quantizer, found.choice.stride)
    network = SplitNetwork(model, plan, uplink_options, downlink_options).eval()
    _fill(network, quantizer, downlink)
    downlink_bytes = fit_tables(network, pixels)
    return network, Chosen(found, downlink_bytes, uplink_options, downlink_options)


def _downlink(
    model: MobileNetV2, plan: SplitPlan, features: Tensor, answers: Tensor
) -> tuple[Boundary, BoundaryOptions]:
    """Of the clip whose answers diverge least. Features need no transform: few, and rarely negative."""
    if not plan.back:
        return SplitNetwork(model, plan, BoundaryOptions(), BoundaryOptions()).downlink, BoundaryOptions()
    tried = []
    for clip in _CLIPS:
        options = BoundaryOptions(bits=_DOWNLINK_BITS, clip=clip)
        network = SplitNetwork(model, plan, BoundaryOptions(), options).eval()
        network.downlink.calibrating = True
        network.downlink(features)
        network.downlink.calibrate()
        split = network.tail(network.downlink(features))
        tried.append((compare_answers(answers, split).divergence, network.downlink, options))
    _, boundary, options = min(tried, key=lambda entry: entry[0])
    return boundary, options


def _uplink_options(quantizer: Quantizer, stride: int | None) -> BoundaryOptions:
    if stride is None:
        return BoundaryOptions(bits=BITS)
    return BoundaryOptions(bits=BITS, bottleneck=Bottleneck(len(quantizer.scale), stride, linear=True))


def _fill(network: SplitNetwork, quantizer: Quantizer, downlink: Boundary) -> None:
    network.uplink.fix(quantizer.scale)
    network.downlink.fix(downlink.scale)
    if isinstance(quantizer, BlockQuantizer):
        _fill_encoder(network.head.get_submodule("uplink_encoder"), quantizer)
        _fill_decoder(network.body.get_submodule("uplink_decoder"), quantizer)


def _fill_encoder(encoder: torch.nn.Module, quantizer: BlockQuantizer) -> None:
    assert isinstance(encoder, LinearEncoder)
    assert encoder.conv.bias is not None
    transform = quantizer.transform
    places = transform.stride**2
    encoder.conv.weight.copy_(transform.analysis.view_as(encoder.conv.weight))
    encoder.conv.bias.copy_(-transform.analysis @ transform.mean.repeat_interleave(places))
    encoder.gain.copy_(transform.gain)


def _fill_decoder(decoder: torch.nn.Module, quantizer: BlockQuantizer) -> None:
    assert isinstance(decoder, LinearDecoder)
    assert decoder.conv.bias is not None
    transform = quantizer.transform
    decoder.conv.weight.copy_(transform.synthesis[:, :, None, None])
    decoder.conv.bias.copy_((transform.mean + quantizer.bias).repeat_interleave(transform.stride**2))
    decoder.gain.copy_(1.0 / transform.gain)


def fit_tables(network: SplitNetwork, pixels: Tensor) -> float:
    """Has both boundaries' coders expect what these images send: float32 (n, 3, size, size).

    Returns the mean bytes of the downlink's payloads.
    """
    graphs = network.graphs()
    uplink = _in_batches(graphs["head"], pixels)
    downlink = _in_batches(graphs["body"], uplink)
    for boundary, symbols in zip(network.boundaries, (uplink, downlink), strict=True):
        if boundary.spec.quantized and boundary.spec.elements <= MAX_CODED_SYMBOLS:
            boundary.fit_tables(symbols)
    return sum(len(encode(row[None], network.downlink.spec).payload) for row in downlink.numpy()) / len(
        pixels
    )


def _in_batches(run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.cat([run(batch) for batch in x.split(_BATCH)])
