"""A bundle's network again, as it was before export folded each BatchNorm into its convolution.

A folded convolution computes W x + b. Behind W x stands a BatchNorm of the same effect: with mean m and
variance v of W x over some images, weight sqrt(v + eps) and bias m + b. What its weight and bias once were is
lost, but not needed: the function is the same, and training normalizes by statistics that fit.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from splitwire.bundle import Bundle
from splitwire.errors import BundleError, ConfigError, WeightsError
from trainer.config import Bottleneck, BoundaryOptions
from trainer.model import MobileNetV2, ModelSpec
from trainer.network import SplitNetwork

__all__ = ["estimate_statistics", "layers_of", "network_of_bundle"]


def network_of_bundle(path: Path, images: Iterable[Tensor]) -> SplitNetwork:
    """The network that was exported as the bundle at `path`, in evaluation mode; its scales are not restored.

    images: batches (N, 3, H, W) float32 as the network was trained on, for the statistics.

    Raises:
        WeightsError: no bundle there, or none that this trainer exported.
    """
    try:
        bundle = Bundle.load(path)
        network = _blank(bundle)
        graphs = [bundle.graph(role) for role in bundle.manifest.roles]
        models = [onnx.load(str(graph)) for graph in graphs]
        tensors = [tensor for model in models for tensor in _weights(model)]
        _fill_gains(network, models)
    except (BundleError, ConfigError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"cannot read weights from the bundle {path}: {error}") from error
    _fill(path, network, tensors)
    estimate_statistics(network, images)
    return network.eval()


def _blank(bundle: Bundle) -> SplitNetwork:
    manifest = bundle.manifest
    spec = {name: value for name, value in manifest.model.items() if name != "architecture"}
    training = manifest.metrics["training"]
    up, down = (layers_of(training[link]) for link in ("uplink", "downlink"))
    return SplitNetwork(MobileNetV2(ModelSpec(**spec)), manifest.plan, up, down)


def layers_of(stored: Mapping[str, Any]) -> BoundaryOptions:
    """Of a boundary's options, as manifests and checkpoints store them, what decides which layers there are.

    Raises:
        ConfigError, AttributeError, TypeError: these are no options.
    """
    bottleneck = stored.get("bottleneck")
    return BoundaryOptions(bottleneck=None if bottleneck is None else Bottleneck(**bottleneck))


def _weights(graph: onnx.ModelProto) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Weight and bias of each convolution and linear layer, in the order in which they run."""
    known = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.graph.initializer}
    for node in graph.graph.node:
        if node.op_type == "Identity" and node.input[0] in known:  # the exporter's, of equal tensors
            known[node.output[0]] = known[node.input[0]]
        if node.op_type in ("Conv", "Gemm"):
            _, weight, *bias = node.input
            yield known[weight], known[bias[0]] if bias else None


@torch.no_grad()
def _fill(path: Path, network: SplitNetwork, tensors: list[tuple[Tensor, Tensor | None]]) -> None:
    layers = list(_layers(network))
    if [t.shape for t, _ in tensors] != [layer.weight.shape for layer, _ in layers]:
        raise WeightsError(f"the graphs of {path} are not those of its manifest's network")
    for (layer, norm), (weight, bias) in zip(layers, tensors, strict=True):
        layer.weight.copy_(weight)
        target = layer.bias if norm is None else norm.bias
        if target is not None and bias is not None:
            target.copy_(bias)
        if norm is not None:  # the identity, but for its bias
            norm.weight.fill_(1.0)
            norm.running_var.fill_(1.0 - norm.eps)  # type: ignore[union-attr]


@torch.no_grad()
def _fill_gains(network: SplitNetwork, models: list[onnx.ModelProto]) -> None:
    """Of linear bottlenecks. Raises KeyError where a graph lacks one."""
    known = {t.name.removeprefix("layers."): t for model in models for t in model.graph.initializer}
    for name, parameter in network.named_parameters():
        if name.endswith(".gain"):
            gain = numpy_helper.to_array(known[name.partition(".")[2]])
            parameter.copy_(torch.from_numpy(gain.copy()).view_as(parameter))


def _layers(network: nn.Module) -> Iterator[tuple[nn.Conv2d | nn.Linear, nn.BatchNorm2d | None]]:
    """Every layer with a weight, in the order in which they run, with the BatchNorm right behind it."""
    modules = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.BatchNorm2d)]
    for module, behind in zip(modules, [*modules[1:], None], strict=True):
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield module, behind if isinstance(behind, nn.BatchNorm2d) else None


@torch.no_grad()
def estimate_statistics(network: nn.Module, images: Iterable[Tensor]) -> None:
    """Gives each BatchNorm the statistics of its inputs, and a weight and bias that keep what it computes.

    So in evaluation nothing changes, and training normalizes by what is there. In one pass, for that reason.
    Without images nothing happens. The network ends in evaluation mode.
    """
    norms = {norm: _Moments(norm.num_features) for _, norm in _layers(network) if norm is not None}
    hooks = [
        norm.register_forward_pre_hook(lambda _, inputs, moments=moments: moments.add(inputs[0]))
        for norm, moments in norms.items()
    ]
    network.eval()
    for batch in images:
        network(batch)
    for hook in hooks:
        hook.remove()
    for norm, moments in norms.items():
        if moments.count:
            _renormalize(norm, *moments.take())


def _renormalize(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Other statistics, the same function."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    slope = norm.weight / (norm.running_var + norm.eps).sqrt()
    norm.bias.add_(slope * (mean - norm.running_mean))
    norm.weight.copy_(slope * (variance + norm.eps).sqrt())
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


class _Moments:
    """Mean and variance of each channel of (N, C, H, W), over all that is added."""

    def __init__(self, channels: int) -> None:
        self._sums = torch.zeros(2, channels, dtype=torch.float64)
        self.count = 0

    def add(self, x: Tensor) -> None:
        by_channel = x.double().movedim(1, 0).flatten(1)
        self._sums += torch.stack([by_channel.sum(1), by_channel.square().sum(1)])
        self.count += by_channel.size(1)

    def take(self) -> tuple[Tensor, Tensor]:
        mean, square = self._sums / self.count
        return mean.float(), (square - mean.square()).clamp_min(1e-8).float()
