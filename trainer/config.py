"""What a training run is: one frozen value, made by the command line and stored in the checkpoint.

Imports no torch, which takes seconds: `--help` and mistakes should not wait for it.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from splitwire.errors import ConfigError, PlanError
from splitwire.plan import FLOAT_BITS, LAYERS, BoundarySpec, SplitPlan
from trainer.data.preprocessing import PreprocessOptions

__all__ = [
    "CHECKPOINT",
    "CHECKPOINT_MODES",
    "LAYER_RATES",
    "OPTIMIZERS",
    "RANGES",
    "RECIPES",
    "Bottleneck",
    "BoundaryOptions",
    "Recipe",
    "TrainConfig",
    "change",
    "default_run",
]

#: When a partition recomputes its activations in the backward pass instead of keeping them.
CHECKPOINT_MODES = ("never", "except_last", "always")

#: What moves the weights of dense convolutions; everything else is SGD's.
OPTIMIZERS = ("sgd", "muon")

#: Of learning rates, where they are layer-wise: the classifier, the last five layers before it, all before.
LAYER_RATES = (1.0, 0.6, 0.4)

#: Options that do not make a training another.
_INCIDENTAL = ("evaluate_every", "edge_device", "cloud_device", "channels_last")

#: Options that may change when a run is resumed besides. The rate's target is what the rest of a run is
#: steered towards, and only its end shows whether it was well chosen.
_STEERING = ("rate_target",)

_LINKS = ("uplink", "downlink")

#: Fields that hold options of their own.
_COMPOUND = ("plan", *_LINKS, "preprocess")

#: Options that are called otherwise than their fields.
_OPTIONS = {
    "plan_front": "edge-front",
    "plan_back": "edge-back",
    "learning_rate": "lr",
    "matrix_learning_rate": "matrix-lr",
    "layer_rates": "layer-lr",
    "checkpoint_mode": "checkpoint",
    "preprocess_size": "image-size",
    "preprocess_resize": "resize",
    "preprocess_mean": "mean",
    "preprocess_std": "std",
    **{f"{link}_{name}": name.replace("_", "-") for link in _LINKS for name in ("ranges", "gradient_bits")},
}

#: Of options without a natural end: no training survives it, and float32 has room for a product with it.
_MOST = 1e30

#: No options, but the data set's: where that is the same, the run was one of another version.
_OF_DATASET = ("calibration_images",)

#: In a run's folder.
CHECKPOINT = "checkpoint.pt"

#: Where a boundary's scales come from: a sample of the training images, or from there on gradients.
RANGES = ("calibrated", "learned")


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """A learned reduction: how many channels cross, and by what each side of their maps is divided.

    linear: of nothing but one affine map, which can be fitted without training, trainer/linear.py.
    blocks, encoder_blocks: residual blocks that refine what the decoder, or the encoder, made of a map.

    Raises:
        ConfigError: a field is out of range.
    """

    channels: int
    stride: int = 1
    linear: bool = False
    blocks: int = 0
    encoder_blocks: int = 0

    def __post_init__(self) -> None:
        _require(1 <= self.channels <= 4096, "bottleneck channels", "from 1 to 4096", self.channels)
        _require(self.stride in (1, 2, 4), "bottleneck stride", "1, 2 or 4", self.stride)
        for blocks in (self.blocks, self.encoder_blocks):
            _require(0 <= blocks <= 16, "bottleneck blocks", "from 0 to 16", blocks)

    @classmethod
    def parse(cls, text: str) -> "Bottleneck":
        """ "12", "12/2", "12/2/1", "12/2/1/1" or "12/2/linear". Raises ConfigError for anything else."""
        match = re.fullmatch(r"([0-9]+)(?:/([0-9]+)(?:/(?:(linear)|([0-9]+)(?:/([0-9]+))?))?)?", text)
        if match is None:
            raise ConfigError(
                f"a bottleneck is CHANNELS[/STRIDE[/DECODER BLOCKS[/ENCODER BLOCKS]]], say 12/2, got {text!r}"
            )
        channels, stride, linear, blocks, more = match.groups()
        return cls(int(channels), int(stride or 1), linear is not None, int(blocks or 0), int(more or 0))

    def __str__(self) -> str:
        last = "/linear" if self.linear else ""
        if self.blocks or self.encoder_blocks:
            last = f"/{self.blocks}" + (f"/{self.encoder_blocks}" if self.encoder_blocks else "")
        return f"{self.channels}/{self.stride}{last}"


@dataclass(frozen=True, slots=True)
class BoundaryOptions:
    """What a user chooses for one boundary.

    keep: kept fraction, in (0, 1]. bits: symbol width, 2 to 8, or 32 for float32.
    clip: largest representable magnitude, in root mean squares of the channel; None: by bits.
    A wide clip at few bits makes a coarse grid, most of whose symbols are zero: few bytes.
    bottleneck: what the activation is reduced to before; None: it crosses as it is.
    dead_zone: magnitudes below so many root mean squares of the channel become zero; 0: none do.
    ranges: one of RANGES. gradient_bits: width, 2 to 8, of the gradient that crosses back; None: float32.

    Raises:
        ConfigError: a field is out of range, or keep and dead_zone contradict each other.
    """

    keep: float = 1.0
    bits: int = FLOAT_BITS
    clip: float | None = None
    bottleneck: Bottleneck | None = None
    dead_zone: float = 0.0
    ranges: str = "calibrated"
    gradient_bits: int | None = None

    def __post_init__(self) -> None:
        try:
            BoundarySpec(shape=(1,), keep=self.keep, bits=self.bits, zero=0)
        except PlanError as error:
            raise ConfigError(str(error)) from None
        if self.clip is not None and not 0.1 <= self.clip <= 1000.0:
            raise ConfigError(f"clip must be from 0.1 to 1000 root mean squares, got {self.clip}")
        _require(self.ranges in RANGES, "ranges", f"one of {', '.join(RANGES)}", self.ranges)
        if self.gradient_bits is not None:
            _require(2 <= self.gradient_bits <= 8, "gradient_bits", "2 to 8", self.gradient_bits)
        self._check_dead_zone()

    def _check_dead_zone(self) -> None:
        most = self.clip_or_default if self.bits != FLOAT_BITS else 1000.0
        expected = f"at least 0 and below the clip of {most:g} root mean squares"
        _require(0.0 <= self.dead_zone < most, "dead_zone", expected, self.dead_zone)
        if self.dead_zone > 0 and self.keep < 1:
            raise ConfigError(
                f"keep below 1 and a dead-zone both prune: choose one, got keep {self.keep:g} "
                f"and dead-zone {self.dead_zone:g}"
            )

    @property
    def clip_or_default(self) -> float:
        # Near the clip that minimizes a Gaussian's squared error at each width.
        return self.clip if self.clip is not None else 1.0 + 0.5 * self.bits


@dataclass(frozen=True, slots=True)
class Recipe:
    """The options whose good values depend on the data set."""

    epochs: int
    batch_size: int
    learning_rate: float
    warmup_epochs: int
    width: float
    crop_area: float = 1.0
    calibration_images: int = 2048


_CIFAR = Recipe(epochs=200, batch_size=1024, learning_rate=0.4, warmup_epochs=20, width=1.0)

#: Some thousand photos of kinds that look alike: meant to begin with published weights.
_FINE_GRAINED = Recipe(
    epochs=60, batch_size=32, learning_rate=0.01, warmup_epochs=2, width=1.0, crop_area=0.25
)

#: cifar10: of the experiment this project began with. digits: a minute on one core.
RECIPES = {
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "folder": Recipe(
        epochs=90, batch_size=128, learning_rate=0.05, warmup_epochs=5, width=1.0, crop_area=0.25
    ),
    "cub200": _FINE_GRAINED,
    "cars196": _FINE_GRAINED,
    "food101": Recipe(
        epochs=30, batch_size=128, learning_rate=0.05, warmup_epochs=2, width=1.0, crop_area=0.25
    ),
    "digits": Recipe(
        epochs=7, batch_size=32, learning_rate=0.03, warmup_epochs=1, width=0.25, calibration_images=256
    ),
}


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """See `trainer --help` for what each field means to a user.

    Raises:
        ConfigError: a field is out of range, or two of them contradict each other.
    """

    plan: SplitPlan
    dataset: str
    epochs: int
    batch_size: int
    learning_rate: float
    warmup_epochs: int
    width: float
    uplink: BoundaryOptions = field(default_factory=BoundaryOptions)
    downlink: BoundaryOptions = field(default_factory=BoundaryOptions)
    optimizer: str = "sgd"
    matrix_learning_rate: float = 0.06
    layer_rates: tuple[float, float, float] | None = None
    freeze: int = 0
    momentum: float = 0.9
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    dropout: float = 0.2
    cutout: int = 0
    crop_area: float = 1.0
    mixup: float = 0.0
    distill_weight: float = 0.0
    temperature: float = 2.0
    rate_weight: float = 0.0
    rate_target: float | None = None
    uncompressed_epochs: int = 0
    anneal_epochs: int = 0
    calibration_epochs: int | None = None
    calibration_images: int = 2048
    seed: int = 0
    evaluate_every: int = 1
    chunks: int = 4
    checkpoint_mode: str = "never"
    edge_device: str = "cpu"
    cloud_device: str = "cpu"
    bf16: bool = False
    channels_last: bool = False
    preprocess: PreprocessOptions = field(default_factory=PreprocessOptions)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "evaluate_every", "chunks", "calibration_images"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        _require(0 < self.learning_rate <= _MOST, "lr", f"above 0 and at most {_MOST:g}", self.learning_rate)
        _require(0.1 <= self.width <= 4, "width", "from 0.1 to 4", self.width)
        _require(self.optimizer in OPTIMIZERS, "optimizer", f"one of {', '.join(OPTIMIZERS)}", self.optimizer)
        _require(0 < self.matrix_learning_rate < 1, "matrix-lr", "in (0, 1)", self.matrix_learning_rate)
        if self.layer_rates is not None:
            fits = len(self.layer_rates) == 3 and all(0 < rate <= 10 for rate in self.layer_rates)
            _require(fits, "layer-lr", "three factors above 0 and at most 10", self.layer_rates)
        _require(0 <= self.freeze < len(LAYERS), "freeze", f"from 0 to {len(LAYERS) - 1}", self.freeze)
        _require(0 <= self.momentum < 1, "momentum", "in [0, 1)", self.momentum)
        _require(0 <= self.weight_decay <= _MOST, "weight_decay", f"from 0 to {_MOST:g}", self.weight_decay)
        _require(0 <= self.label_smoothing < 1, "label_smoothing", "in [0, 1)", self.label_smoothing)
        _require(self.cutout >= 0, "cutout", "at least 0", self.cutout)
        _require(0 < self.crop_area <= 1, "crop-area", "above 0 and at most 1", self.crop_area)
        _require(0 <= self.mixup <= 10, "mixup", "from 0 to 10", self.mixup)
        _require(
            0 <= self.warmup_epochs <= self.epochs, "warmup_epochs", "from 0 to epochs", self.warmup_epochs
        )
        modes = ", ".join(CHECKPOINT_MODES)
        _require(
            self.checkpoint_mode in CHECKPOINT_MODES, "checkpoint", f"one of {modes}", self.checkpoint_mode
        )
        divides = self.batch_size % self.chunks == 0
        _require(divides, "batch_size", f"a multiple of chunks ({self.chunks})", self.batch_size)
        _require(0 <= self.seed < 2**32, "seed", "from 0 to 2**32 - 1", self.seed)
        _require(0 <= self.distill_weight <= 1, "distill-weight", "from 0 to 1", self.distill_weight)
        _require(0 < self.temperature <= 100, "temperature", "above 0 and at most 100", self.temperature)
        _require(0 <= self.rate_weight <= _MOST, "rate-weight", f"from 0 to {_MOST:g}", self.rate_weight)
        if self.rate_weight > 0 and not any(options.bits != FLOAT_BITS for options in self._crossed):
            raise ConfigError(
                "a rate-weight prices the symbols of quantized boundaries, and none is quantized: "
                f"give a boundary fewer than {FLOAT_BITS} bits"
            )
        if self.rate_target is not None:
            _require(0 < self.rate_target < math.inf, "rate-target", "above 0", self.rate_target)
            _require(self.rate_weight > 0, "rate-weight", "above 0 with a rate-target", self.rate_weight)
        for name in ("uncompressed_epochs", "anneal_epochs"):
            _require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        staged = "uncompressed-epochs and anneal-epochs together"
        _require(self.settled_from < self.epochs, staged, f"below epochs ({self.epochs})", self.settled_from)
        if self.calibration_epochs is not None:
            _require(
                self.calibration_epochs >= 1, "calibration_epochs", "at least 1", self.calibration_epochs
            )

    @property
    def _crossed(self) -> tuple[BoundaryOptions, ...]:
        """Of the boundaries that do what they are told: with the logits, nothing is done to the downlink."""
        return (self.uplink, self.downlink) if self.plan.back else (self.uplink,)

    @property
    def frozen_from(self) -> int:
        """The first epoch, from 0, whose scales are those of the epoch before."""
        return self.calibration_epochs if self.calibration_epochs is not None else (self.epochs + 1) // 2

    @property
    def settled_from(self) -> int:
        """The first epoch, from 0, whose boundaries are those of the bundle; never after the last."""
        return self.uncompressed_epochs + self.anneal_epochs

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def differences(self, other: dict[str, Any], *, resuming: bool = True) -> list[str]:
        """The options in which a stored configuration (of `to_json`) differs from this one, as by `change`.

        One that is not stored is of before the option existed, and had what is now its default. Where a run
        is computed, and how often it is looked at, does not make it another.
        resuming: whether what is stored is to go on as this one; False: it must have been this one.
        """
        mine = json.loads(json.dumps(self.to_json()))  # which knows no tuples
        of_dataset = () if other.get("dataset") == self.dataset else _OF_DATASET
        passed_over = (*_INCIDENTAL, *(_STEERING if resuming else ()), *of_dataset)
        compared = (f for f in fields(self) if f.name not in passed_over)
        found = (text for f in compared for text in _changes(f.name, _stored(other, f), mine[f.name]))
        return list(dict.fromkeys(found))  # what is of both boundaries differs twice


def _stored(config: dict[str, Any], option: Field[Any]) -> Any:
    """What `config` says of `option`, or had to mean; the options of a boundary one by one."""
    value = config.get(option.name, MISSING)
    if option.default_factory is not MISSING:
        default = asdict(option.default_factory())
        return default | value if isinstance(value, dict) else default if value is MISSING else value
    value = option.default if value is MISSING else value
    return None if value is MISSING else value


def _changes(name: str, stored: Any, now: Any) -> Iterator[str]:
    """Of a plan, a boundary or a preprocessing, what differs in it."""
    if stored == now:
        return
    if name in _COMPOUND:
        before = stored if isinstance(stored, dict) else {}
        for key, value in now.items():
            yield from _changes(f"{name}_{key}", before.get(key), value)
    elif name in _OF_DATASET:
        yield f"{name.replace('_', ' ')} {_shown(stored)} (now {_shown(now)})"
    else:
        yield change(_OPTIONS.get(name, name.replace("_", "-")), stored, now)


def change(option: str, stored: Any, now: Any) -> str:
    """ "--lr 0.05 (now 0.1)": what was stored, and what is so now."""
    return f"--{option} {_shown(stored)} (now {_shown(now)})"


def _shown(value: Any) -> str:
    """As on the command line, where it would be there."""
    if isinstance(value, dict) and "channels" in value:
        return str(Bottleneck(**value))
    if isinstance(value, list):
        return " ".join(map(_shown, value))
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _require(holds: bool, name: str, expected: str, value: object) -> None:
    if not holds:
        raise ConfigError(f"{name.replace('_', '-')} must be {expected}, got {value!r}")


def default_run(config: TrainConfig) -> Path:
    """The folder for a run that the user did not name."""
    return Path("runs") / f"{config.dataset}-front{config.plan.front}-back{config.plan.back}"
