"""What the file that a network is taken from says of how it was trained."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitwire.bundle import Bundle
from splitwire.errors import SplitwireError, WeightsError
from splitwire.manifest import Manifest
from trainer.checkpoint import is_averaged, load_checkpoint
from trainer.data import own_preprocess

__all__ = ["Record", "pruning_of", "read_record"]

_Triple = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """labels: of its classes. mean, std: of its images' normalization. None where the file does not say.
    pruning: as `pruning_of`. averaged: whether its BatchNorm statistics fit nothing, trainer/average.py.
    """

    labels: tuple[str, ...] | None = None
    mean: _Triple | None = None
    std: _Triple | None = None
    pruning: str = ""
    averaged: bool = False


def read_record(path: Path) -> Record:
    """Of a run's checkpoint (.pt) or a bundle; torchvision's state dicts say nothing.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        if path.is_dir():
            return _of_bundle(Bundle.load(path).manifest)
        return _of_checkpoint(load_checkpoint(path)) if path.suffix == ".pt" else Record()
    except (SplitwireError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path} does not say how it was trained: {error}") from error


def pruning_of(training: Mapping[str, Any], *, back: int) -> str:
    """What boundaries left out, by the configuration that manifests and checkpoints store: "uplink keep 0.5";
    empty where nothing was.

    back: how many layers the tail had; without one the downlink did nothing.

    Raises:
        AttributeError, TypeError: these are no options.
    """
    links = ("uplink", "downlink") if back else ("uplink",)
    return ", ".join(filter(None, (_pruning(link, training.get(link) or {}) for link in links)))


def _pruning(link: str, options: Mapping[str, Any]) -> str:
    keep, dead_zone = options.get("keep", 1.0), options.get("dead_zone", 0.0)
    if dead_zone > 0:
        return f"{link} dead-zone {dead_zone:g}"
    return f"{link} keep {keep:g}" if keep < 1 else ""


def _of_bundle(manifest: Manifest) -> Record:
    preprocess, training = manifest.preprocess, manifest.metrics.get("training") or {}
    pruning = pruning_of(training, back=manifest.plan.back)
    return Record(manifest.labels, preprocess.mean, preprocess.std, pruning)


def _of_checkpoint(state: Mapping[str, Any]) -> Record:
    config = json.loads(state.get("config", "{}"))
    own, chosen = own_preprocess(config.get("dataset")), config.get("preprocess") or {}
    mean, std = (chosen.get(name) or getattr(own, name, None) for name in ("mean", "std"))
    return Record(
        mean=None if mean is None else tuple(mean),
        std=None if std is None else tuple(std),
        pruning=pruning_of(config, back=(config.get("plan") or {}).get("back", 1)),
        averaged=is_averaged(state),
    )
