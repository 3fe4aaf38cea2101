"""Weights to start from: torchvision's state dict, or a checkpoint or bundle of ours, read into the model.

theirs                  ours
features.0.*            layers.stem.*
features.<i>.*          layers.block<i>.*     1 <= i <= 17
features.18.*           layers.conv_last.*
classifier.*            layers.classifier.*

A checkpoint's names have the partition in front, as head.stem.*; what is its boundaries' is passed over.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from splitwire.errors import WeightsError
from splitwire.plan import LAYERS
from trainer.bottleneck import REFINING
from trainer.bundle_weights import estimate_statistics, network_of_bundle
from trainer.checkpoint import load_checkpoint
from trainer.model import MobileNetV2
from trainer.network import SplitNetwork
from trainer.torch_file import read_torch_file

__all__ = [
    "LAST_BLOCK",
    "LAST_BLOCK_CHANNELS",
    "WeightsReport",
    "is_weight",
    "load_weights",
    "read_weights",
    "torchvision_name",
]

_CLASSIFIER = "classifier."

#: (320 x width, ...): what is least rounded.
LAST_BLOCK, LAST_BLOCK_CHANNELS = "features.17.conv.2.weight", 320

#: Of entries that do not fit.
_MOST_NAMED = 12

#: Where SplitNetwork keeps the encoder and the decoder of each link's bottleneck.
_BOTTLENECKS = {
    "uplink": ("head.uplink_encoder.", "body.uplink_decoder."),
    "downlink": ("body.downlink_encoder.", "tail.downlink_decoder."),
}
_ALL_BOTTLENECKS = tuple(prefix for prefixes in _BOTTLENECKS.values() for prefix in prefixes)

#: A counter that evaluation never reads, and that files from before 2018, or converted ones, lack.
_OPTIONAL = ".num_batches_tracked"


@dataclass(frozen=True)
class WeightsReport:
    """loaded: how many tensors came from the file. reinitialized: torchvision's names of those that did not,
    and keep the values that the model was built with. bottlenecks: the links whose came from the file too."""

    loaded: int
    reinitialized: tuple[str, ...]
    bottlenecks: tuple[str, ...] = ()


def load_weights(
    model: MobileNetV2,
    path: Path,
    *,
    images: Iterable[Tensor] = (),
    reset_classifier: bool = False,
    network: SplitNetwork | None = None,
) -> WeightsReport:
    """Copy torchvision's state dict (.pth, .safetensors), a checkpoint (.pt) or a bundle into `model`.

    images: for a bundle, or a file whose BatchNorms were folded into the convolutions, and say nothing of the
        activations any more: batches (N, 3, H, W) as training will see them. Without any, a file is taken as
        it is, which is good enough for all but training.
    reset_classifier: whatever classifier the file has is passed over.
    network: whose bottlenecks are taken as well, from a checkpoint or bundle that has some of the same size.

    Raises:
        WeightsError: the file cannot be read, is of another width, or an entry is missing, unexpected or does
            not fit: the first of them are named. The model is as before.
    """
    ours = {torchvision_name(name): tensor for name, tensor in model.state_dict().items()}
    found = _of_bundle(path, images) if path.is_dir() else read_weights(path)
    theirs = {name: tensor for name, tensor in found.items() if not name.startswith(_ALL_BOTTLENECKS)}
    if reset_classifier:
        theirs = {name: tensor for name, tensor in theirs.items() if not name.startswith(_CLASSIFIER)}
        wanted = {name: tensor for name, tensor in ours.items() if not name.startswith(_CLASSIFIER)}
    else:
        wanted = ours
        _check_classes(path, wanted, theirs)
    _check_width(path, wanted, theirs)
    _check_entries(path, wanted, theirs)
    with torch.no_grad():
        for name, tensor in theirs.items():
            wanted[name].copy_(tensor)
    if _folded(theirs):
        estimate_statistics(model, images)
    left = tuple(name for name in ours if name not in theirs and not name.endswith(_OPTIONAL))
    bottlenecks = () if network is None else _load_bottlenecks(network, found)
    return WeightsReport(loaded=len(theirs), reinitialized=left, bottlenecks=bottlenecks)


def torchvision_name(name: str) -> str:
    """Our state dict's name of a tensor -> torchvision's; one to one."""
    layer, _, rest = name.removeprefix("layers.").partition(".")
    index = LAYERS.index(layer)
    return f"{_CLASSIFIER}{rest}" if index == len(LAYERS) - 1 else f"features.{index}.{rest}"


def is_weight(name: str) -> bool:
    """Whether what a SplitNetwork calls so belongs to a layer or a bottleneck, and not to a boundary."""
    return name.partition(".")[2].partition(".")[0] in LAYERS or name.startswith(_ALL_BOTTLENECKS)


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """A file's tensors: layers by torchvision's names, bottlenecks by ours.

    Raises:
        WeightsError: it cannot be read, or holds anything else.
    """
    if path.suffix not in (".pt", ".pth", ".safetensors"):
        raise WeightsError(f"{path} must be a .pth or .safetensors file, a run's checkpoint.pt, or a bundle")
    try:
        if path.suffix == ".pt":
            value = _of_checkpoint(load_checkpoint(path))
        elif path.suffix == ".pth":
            value = read_torch_file(path)
        else:
            value = safetensors.torch.load_file(path)
    except Exception as error:  # a broken or hostile file can raise anything
        raise WeightsError(f"cannot read weights from {path}: {error}") from error
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items()
    ):
        raise WeightsError(f"{path} must hold a state dict: names and tensors, nothing else")
    return value


def _of_bundle(path: Path, images: Iterable[Tensor]) -> dict[str, Tensor]:
    return _of_checkpoint({"network": network_of_bundle(path, images).state_dict()})


def _of_checkpoint(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The layers of whatever plan, by torchvision's names, and bottlenecks, by ours."""
    return {
        name if name.startswith(_ALL_BOTTLENECKS) else torchvision_name(name.partition(".")[2]): tensor
        for name, tensor in state["network"].items()
        if is_weight(name)
    }


def _folded(weights: Mapping[str, Tensor]) -> bool:
    """Whether no BatchNorm tells what it is to normalize: their statistics are those before any training."""
    of = {name: tensor for name, tensor in weights.items() if name.endswith(("running_mean", "running_var"))}
    return bool(of) and all(bool((t == float(name.endswith("var"))).all()) for name, t in of.items())


@torch.no_grad()
def _load_bottlenecks(network: SplitNetwork, theirs: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The links whose encoder and decoder were both taken; one that does not fit starts anew.

    Refining blocks that the file lacks are no obstacle: they begin as the identity.
    """
    ours, taken = network.state_dict(), []
    for link, prefixes in _BOTTLENECKS.items():
        wanted = {name: tensor for name, tensor in ours.items() if name.startswith(prefixes)}
        found = {name: tensor for name, tensor in theirs.items() if name.startswith(prefixes)}
        lacking = [name for name in wanted.keys() - found.keys() if f".{REFINING}" not in name]
        fits = not lacking and found.keys() <= wanted.keys()
        if wanted and fits and not any(_misfit(n, wanted[n], found[n]) for n in found):
            taken.append(link)
            for name, tensor in found.items():
                wanted[name].copy_(tensor)
    return tuple(taken)


def _check_classes(path: Path, wanted: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    weight = f"{_CLASSIFIER}1.weight"
    classes = len(wanted[weight])
    if weight not in theirs:
        raise WeightsError(
            f"{path} has no classifier, the model needs one of {classes} classes: "
            "reset the classifier to go without"
        )
    found = theirs[weight].shape
    if len(found) == 2 and found[0] != classes:
        raise WeightsError(
            f"{path} has a classifier of {found[0]} classes, the model one of {classes}: "
            "reset the classifier to load the other layers"
        )


def _check_width(path: Path, wanted: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    """What does not fit then is nearly everything."""
    ours, found = len(wanted[LAST_BLOCK]), theirs.get(LAST_BLOCK)
    if found is not None and found.ndim == 4 and len(found) != ours:
        raise WeightsError(
            f"{path} is of another width: its last block has {len(found)} channels, the model's {ours}; "
            f"--width {len(found) / LAST_BLOCK_CHANNELS:.3g} has about as many"
        )


def _check_entries(path: Path, wanted: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    missing = [name for name in wanted if name not in theirs and not name.endswith(_OPTIONAL)]
    unexpected = [name for name in theirs if name not in wanted]
    pairs = [(name, wanted[name], tensor) for name, tensor in theirs.items() if name in wanted]
    problems = [
        *(f"missing: {name}" for name in missing),
        *(f"unexpected: {name}" for name in unexpected),
        *filter(None, (_misfit(*pair) for pair in pairs)),
    ]
    if len(problems) > _MOST_NAMED:
        problems[_MOST_NAMED:] = [f"and {len(problems) - _MOST_NAMED} more"]
    if problems:
        raise WeightsError("\n  ".join([f"{path} does not fit the model:", *problems]))


def _misfit(name: str, wanted: Tensor, found: Tensor) -> str | None:
    if found.shape != wanted.shape:
        return f"shape of {name}: {tuple(found.shape)}, expected {tuple(wanted.shape)}"
    if found.layout != torch.strided or found.is_floating_point() != wanted.is_floating_point():
        return f"type of {name}: {found.layout} {found.dtype}, expected dense {wanted.dtype}"
    if not bool(torch.isfinite(found).all()):
        return f"values of {name}: not all are finite"
    return None
