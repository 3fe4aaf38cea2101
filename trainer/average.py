"""`trainer average`: one network whose weights are the mean of several trainings' weights.

Trainings that began with the same weights end in one basin, whose middle is better than any of them; a
network that is served costs no more for it. Its BatchNorm statistics are means as well, which fit nothing:
they are estimated when a training starts from the file, so a short one, of a small learning rate, follows.
What would use them as they are, a teacher or frozen layers, finds the file marked.
Source: Wortsman et al., "Model soups", 2022 (the uniform soup).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from splitwire.command_line import Parser
from splitwire.errors import CheckpointError, ConfigError, WeightsError
from trainer.bottleneck import REFINING, as_identity
from trainer.checkpoint import AVERAGED, is_averaged, load_checkpoint, save_checkpoint
from trainer.weights import is_weight

__all__ = ["average", "mean_of"]

_DESCRIPTION = """\
Writes a checkpoint whose weights are the mean of several checkpoints' weights: of runs of the same network
that began with the same weights, and differ in seed, learning rate, augmentation or teacher. One that is
named twice counts twice. A training starts from it with --weights.
"""

_EPILOG = """\
example:
  trainer average runs/a/checkpoint.pt runs/b/checkpoint.pt runs/c/checkpoint.pt --out runs/mean.pt
  trainer ... --weights runs/mean.pt --lr 0.003 --epochs 4
"""


def average(arguments: Sequence[str]) -> int:
    """Exit status 0.

    Raises:
        SplitwireError: the user's mistake.
    """
    options = _parser().parse_args(arguments)
    out: Path = options.out
    if out.suffix != ".pt":
        raise ConfigError(f"--out is a checkpoint, whose name ends in .pt, got {out}")
    if out.exists() and not options.overwrite:
        raise CheckpointError(f"{out} is there already: --overwrite replaces it")
    states = {path: _load(path) for path in dict.fromkeys(options.checkpoints)}
    weights = mean_of([(path, states[path]["network"]) for path in options.checkpoints])
    fullest = max(states.values(), key=lambda state: len(state["network"]))  # has the blocks that others lack
    averaged = len(states) > 1 or any(map(is_averaged, states.values()))
    config = fullest.get("config", "{}")
    save_checkpoint(out, {"network": weights, "config": config, AVERAGED: averaged})
    print(f"{out}: the mean of {len(options.checkpoints)} checkpoints, {len(weights)} tensors")
    return 0


def mean_of(networks: Sequence[tuple[Path, Mapping[str, Tensor]]]) -> dict[str, Tensor]:
    """Of state dicts, each with the file that it is from; counters are the first's.

    Further blocks of a bottleneck that some lack are the identity there, as they are when a training begins.

    Raises:
        WeightsError: they are not of one network.
    """
    networks = _with_all_blocks(networks)
    (first, theirs), *others = networks
    for path, other in others:
        _check_same(first, theirs, path, other)
    return {name: _mean([network[name] for _, network in networks]) for name in theirs}


def _with_all_blocks(
    networks: Sequence[tuple[Path, Mapping[str, Tensor]]],
) -> list[tuple[Path, Mapping[str, Tensor]]]:
    blocks = {name: t for _, network in networks for name, t in network.items() if f".{REFINING}" in name}
    identities = {name: as_identity(name, tensor) for name, tensor in blocks.items()}
    return [(path, {**identities, **network}) for path, network in networks]


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    if not tensors[0].is_floating_point():
        return tensors[0]
    return torch.stack([tensor.double() for tensor in tensors]).mean(0).to(tensors[0].dtype)


def _check_same(first: Path, theirs: Mapping[str, Tensor], path: Path, other: Mapping[str, Tensor]) -> None:
    lone = sorted(theirs.keys() ^ other.keys())
    unlike = [name for name in theirs.keys() & other.keys() if theirs[name].shape != other[name].shape]
    if lone or unlike:
        what = f"only one has {lone[0]}" if lone else f"{min(unlike)} has another shape"
        raise WeightsError(f"{first} and {path} are not of the same network: {what}")


def _load(path: Path) -> dict[str, Any]:
    try:
        state = load_checkpoint(path)
    except CheckpointError as error:
        raise WeightsError(str(error)) from error
    network = state.get("network")
    if (
        not isinstance(network, dict)
        or not network
        or not all(isinstance(value, Tensor) for value in network.values())
    ):
        raise WeightsError(f"{path} is not the checkpoint of a run: it has no network")
    for name, value in network.items():
        if not bool(torch.isfinite(value).all()):
            raise WeightsError(f"{path} cannot be averaged: not all values of {name} are finite")
    # Scales and rates belong to boundaries, which the training that starts from the file has anew.
    return {**state, "network": {name: tensor for name, tensor in network.items() if is_weight(name)}}


def _parser() -> Parser:
    parser = Parser("trainer average", _DESCRIPTION, _EPILOG)
    add = parser.add_argument
    add("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT", help="checkpoint.pt of a run")
    add("--out", type=Path, required=True, metavar="FILE", help="the checkpoint that is written")
    add("--overwrite", action="store_true", help="replace --out where it is there")
    return parser
