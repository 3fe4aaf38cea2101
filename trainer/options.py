"""The options of `trainer`: what they are called, what they mean, and the configuration they make."""

import argparse
from pathlib import Path
from typing import Any

from splitwire.command_line import Parser
from splitwire.errors import ConfigError
from splitwire.plan import LAYERS, SplitPlan
from trainer.boundary_arguments import add_boundaries, boundary_from, refuse_downlink
from trainer.config import CHECKPOINT_MODES, LAYER_RATES, OPTIMIZERS, RECIPES, TrainConfig
from trainer.data import DATASETS
from trainer.data_arguments import add_data
from trainer.preprocess_arguments import preprocess_from
from trainer.split_arguments import add_split_without_training

__all__ = ["MAX_THREADS", "check_threads", "config_from", "make_parser"]

#: More are a typing error, not a machine.
MAX_THREADS = 1024

_DESCRIPTION = """\
Trains a MobileNetV2 that is cut in three, with the pruning and quantization of what crosses the cuts
inside the training, and ends with a bundle that `edge` and `cloud` serve.

  image -> [ first N layers ] ~~uplink~~> [ the layers between ] ~~downlink~~> [ last M layers ] -> label
                 edge                            cloud                              edge
"""

_EPILOG = f"""\
layers, in order:
  {", ".join(LAYERS[:5])}, ... {", ".join(LAYERS[-3:])}  ({len(LAYERS)} in all)

examples:
  trainer --edge-front 3 --edge-back 1
      handwritten digits, which need no download: a bundle in about a minute
  trainer --dataset cifar10 --data data --edge-front 3 --edge-back 1 --bf16 --channels-last
      CIFAR-10; downloaded to data/ unless it is there
  trainer --dataset folder --data photos --edge-front 11 --edge-back 1
      photos/train/<class>/*.jpg and photos/val/<class>/*.jpg
  trainer --dataset cub200 --data data --edge-front 11 --edge-back 1 --weights imagenet --reset-classifier
      birds, to be fetched from their official page beforehand, as cars196 and food101; fine-tunes
  trainer --weights imagenet --epochs 0 --calibrate photos --edge-front 11 --edge-back 1
      trained already: only split, by images without labels, in minutes
  trainer --edge-front 3 --edge-back 1 --resume
      the same command again, after an interruption

subcommands:
  trainer evaluate BUNDLE
      accuracy and bytes over all test images, beside image files: trainer evaluate --help
  trainer sweep --edge-front 1 2 3 --seed 0 1 -- --edge-back 1
      every combination of some options' values: trainer sweep --help
  trainer report layer-lr --seed 0 1 2 -- --edge-front 3 --edge-back 1 --out DIR
      two ways to train, compared over seeds, with curves: trainer report --help
  trainer average CHECKPOINT... --out FILE
      the mean of several trainings' weights, to start from: trainer average --help
"""


def make_parser() -> Parser:
    """The command line of `trainer`."""
    parser = Parser("trainer", _DESCRIPTION, _EPILOG)
    _add_split(parser.add_argument_group("where to cut"))
    add_boundaries(parser.add_argument_group("what crosses (both boundaries, unless overridden for one)"))
    add_data(parser.add_argument_group("data"))
    _add_beginning(parser.add_argument_group("what to learn from, beside the labels"))
    add_split_without_training(parser.add_argument_group("without training (--epochs 0 --weights W)"))
    recipe = parser.add_argument_group("recipe (defaults in brackets depend on the data set)")
    _add_recipe(recipe)
    _add_optimizer(recipe)
    _add_pipeline(parser.add_argument_group("pipeline"))
    _add_output(parser.add_argument_group("output"))
    return parser


_Group = argparse._ArgumentGroup


def _add_split(group: _Group) -> None:
    group.add_argument(
        "--edge-front", type=int, required=True, metavar="N", help="first N layers on the edge, at least 1"
    )
    group.add_argument(
        "--edge-back",
        type=int,
        required=True,
        metavar="M",
        help="last M layers on the edge; 0: the cloud answers with logits",
    )


def _add_beginning(group: _Group) -> None:
    group.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="start from a torchvision mobilenet_v2 (.pth, .safetensors), a run's checkpoint.pt, or a "
        "bundle; imagenet: what torchvision publishes, downloaded to --data unless it is there",
    )
    group.add_argument(
        "--reset-classifier", action="store_true", help="with --weights of another number of classes"
    )
    group.add_argument(
        "--teacher",
        type=Path,
        metavar="FILE",
        help="another run's checkpoint.pt, a torchvision mobilenet_v2, or a bundle, whose answers are "
        "learned beside the labels",
    )
    group.add_argument(
        "--distill-weight",
        type=float,
        metavar="W",
        help="the teacher's share of the loss, 0 to 1 (default: 0.5 with a teacher)",
    )
    group.add_argument("--temperature", type=float, default=2.0, help="of teacher and student (default: 2)")


def _add_recipe(group: _Group) -> None:
    group.add_argument("--epochs", type=int, metavar="E", help=f"[{_by_dataset('epochs')}]")
    group.add_argument("--batch-size", type=int, metavar="B", help=f"[{_by_dataset('batch_size')}]")
    group.add_argument("--warmup-epochs", type=int, metavar="E", help=f"[{_by_dataset('warmup_epochs')}]")
    group.add_argument(
        "--width", type=float, metavar="W", help=f"multiplier on all channels [{_by_dataset('width')}]"
    )
    group.add_argument("--label-smoothing", type=float, default=0.0, help="default: 0")
    group.add_argument("--dropout", type=float, default=0.2, help="before the classifier (default: 0.2)")
    group.add_argument(
        "--cutout",
        type=int,
        default=0,
        metavar="PIXELS",
        help="side of a square made black (default: 0)",
    )
    group.add_argument(
        "--mixup",
        type=float,
        default=0.0,
        metavar="A",
        help="images are blended with another's, and labels with its label, by parts drawn from Beta(A, A) "
        "(default: 0, never)",
    )
    group.add_argument(
        "--crop-area",
        type=float,
        metavar="S",
        help="training images are parts of at least this share of their area, scaled up; at 1 they are "
        f"moved by an eighth instead [{_by_dataset('crop_area')}]",
    )
    group.add_argument("--seed", type=int, default=0, help="default: 0")
    group.add_argument(
        "--evaluate-every",
        type=int,
        default=1,
        metavar="E",
        help="epochs between evaluations on all test images; after the last there is one anyway (default: 1)",
    )


def _add_optimizer(group: _Group) -> None:
    group.add_argument(
        "--lr",
        dest="learning_rate",
        type=float,
        metavar="LR",
        help=f"peak learning rate [{_by_dataset('learning_rate')}]",
    )
    group.add_argument(
        "--optimizer",
        choices=OPTIMIZERS,
        default="sgd",
        help="of dense convolutions: sgd, or muon, for trainings of few epochs (default: sgd)",
    )
    group.add_argument(
        "--matrix-lr",
        dest="matrix_learning_rate",
        type=float,
        default=0.06,
        metavar="LR",
        help="peak of muon's, as a fraction of a weight's norm (default: 0.06)",
    )
    group.add_argument(
        "--layer-lr",
        dest="layer_rates",
        type=float,
        nargs="*",
        metavar="R",
        help="layer-wise rates, to fine-tune: factors on --lr of the classifier, of the last five layers "
        "before it, and of those before (without numbers: 1 0.6 0.4; default: 1 1 1)",
    )
    group.add_argument(
        "--freeze",
        type=int,
        default=0,
        metavar="K",
        help="the first K layers are not trained, and keep what --weights gave them (default: 0)",
    )
    group.add_argument("--momentum", type=float, default=0.9, help="default: 0.9")
    group.add_argument("--weight-decay", type=float, default=1e-4, help="default: 1e-4")


def _by_dataset(field: str) -> str:
    return ", ".join(f"{getattr(RECIPES[name], field):g} {name}" for name in DATASETS)


def _add_pipeline(group: _Group) -> None:
    group.add_argument("--chunks", type=int, default=4, help="micro-batches per batch (default: 4)")
    group.add_argument(
        "--checkpoint",
        choices=CHECKPOINT_MODES,
        default="never",
        help="when to recompute activations to save memory (default: never)",
    )
    group.add_argument(
        "--edge-device", default="cpu", metavar="DEVICE", help="of head and tail (default: cpu)"
    )
    group.add_argument(
        "--cloud-device", default="cpu", metavar="DEVICE", help="of the body; may be the same (default: cpu)"
    )
    group.add_argument("--bf16", action="store_true", help="bfloat16 autocast")
    group.add_argument(
        "--channels-last",
        action=argparse.BooleanOptionalAction,
        help="NHWC memory layout, which most CPUs run faster, and GPUs depthwise convolutions many times "
        "slower (default: on where all devices are CPUs)",
    )
    group.add_argument("--threads", type=int, metavar="T", help="CPU threads of torch (default: all cores)")


def _add_output(group: _Group) -> None:
    group.add_argument(
        "--out", type=Path, metavar="DIR", help="checkpoint, metrics and curves (default: runs/<what it is>)"
    )
    group.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle (default: <out>/bundle)")
    group.add_argument(
        "--resume", action="store_true", help="continue the run in --out after its last finished epoch"
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="start anew where --out has a run already, and replace --bundle",
    )
    group.add_argument("--quiet", action="store_true", help="no progress bars")


def config_from(arguments: argparse.Namespace) -> TrainConfig:
    """Raises ConfigError for a value out of range, and for an option that would change nothing."""
    recipe = RECIPES[arguments.dataset]
    refuse_downlink(arguments)
    _check_classifier(arguments)

    def chosen(name: str) -> Any:
        own = getattr(arguments, name)
        return getattr(recipe, name) if own is None else own

    epochs = chosen("epochs")
    warmup = min(recipe.warmup_epochs, epochs) if arguments.warmup_epochs is None else arguments.warmup_epochs
    return TrainConfig(
        plan=SplitPlan(arguments.edge_front, arguments.edge_back),
        dataset=arguments.dataset,
        epochs=epochs,
        batch_size=chosen("batch_size"),
        learning_rate=chosen("learning_rate"),
        warmup_epochs=warmup,
        width=chosen("width"),
        uplink=boundary_from(arguments, "uplink"),
        downlink=boundary_from(arguments, "downlink"),
        optimizer=arguments.optimizer,
        matrix_learning_rate=arguments.matrix_learning_rate,
        layer_rates=_layer_rates(arguments.layer_rates),
        freeze=_freeze(arguments),
        momentum=arguments.momentum,
        weight_decay=arguments.weight_decay,
        label_smoothing=arguments.label_smoothing,
        dropout=arguments.dropout,
        cutout=arguments.cutout,
        crop_area=chosen("crop_area"),
        mixup=arguments.mixup,
        distill_weight=_distill_weight(arguments),
        temperature=arguments.temperature,
        rate_weight=arguments.rate_weight,
        rate_target=arguments.rate_target,
        uncompressed_epochs=arguments.uncompressed_epochs,
        anneal_epochs=arguments.anneal_epochs,
        calibration_epochs=arguments.calibration_epochs,
        calibration_images=recipe.calibration_images,
        seed=arguments.seed,
        evaluate_every=arguments.evaluate_every,
        chunks=arguments.chunks,
        checkpoint_mode=arguments.checkpoint,
        edge_device=arguments.edge_device,
        cloud_device=arguments.cloud_device,
        bf16=arguments.bf16,
        channels_last=_channels_last(arguments),
        preprocess=preprocess_from(arguments),
    )


def check_threads(threads: int | None) -> None:
    """Raises ConfigError where torch cannot have so many. None: as many as it likes."""
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise ConfigError(f"threads must be from 1 to {MAX_THREADS}, got {threads}")


def _channels_last(arguments: argparse.Namespace) -> bool:
    chosen: bool | None = arguments.channels_last
    on_cpu = arguments.edge_device == arguments.cloud_device == "cpu"
    return on_cpu if chosen is None else chosen


def _layer_rates(values: list[float] | None) -> tuple[float, float, float] | None:
    match values:
        case None:
            return None
        case []:
            return LAYER_RATES
        case [classifier, late, early]:
            return classifier, late, early
        case _:
            raise ConfigError(f"layer-lr takes three factors, or none, got {len(values)}")


def _check_classifier(arguments: argparse.Namespace) -> None:
    if arguments.reset_classifier and arguments.weights is None and not arguments.resume:
        raise ConfigError("--reset-classifier needs --weights: without, the classifier starts anew anyway")


def _freeze(arguments: argparse.Namespace) -> int:
    count: int = arguments.freeze
    if count > 0 and arguments.weights is None and not arguments.resume:
        raise ConfigError("--freeze needs --weights: layers that nothing has trained would stay as they are")
    return count


def _distill_weight(arguments: argparse.Namespace) -> float:
    weight: float | None = arguments.distill_weight
    if weight is None:
        return 0.0 if arguments.teacher is None else 0.5
    if (arguments.teacher is None) != (weight == 0.0):
        raise ConfigError("--teacher and a --distill-weight above 0 go together")
    return weight
