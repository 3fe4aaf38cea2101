"""What weights say of the network that they are of: its size, its preprocessing, its labels."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from splitwire.bundle import Bundle
from splitwire.errors import BundleError, ConfigError, WeightsError
from splitwire.preprocess import Preprocess
from trainer.bundle_weights import layers_of
from trainer.data.preprocessing import PreprocessOptions, for_photos
from trainer.detect import detect_spec
from trainer.model import ModelSpec
from trainer.record import pruning_of
from trainer.weights import read_weights

__all__ = ["Source", "find_source"]


@dataclass(frozen=True, slots=True)
class Source:
    """labels: None where the weights have none."""

    spec: ModelSpec
    preprocess: Preprocess
    labels: tuple[str, ...] | None


def find_source(path: Path, preprocess: PreprocessOptions) -> Source:
    """Of torchvision's state dict (.pth, .safetensors) or of a bundle.

    preprocess: what is to differ from the bundle's own, or else from ImageNet's.

    Raises:
        WeightsError: it cannot be read, is no MobileNetV2's, or is a bundle whose network needs the
            bottlenecks, or the pruning, that it was trained with.
        ConfigError: preprocessing that cannot be, or that a bundle's network was not made for.
    """
    if path.is_dir():
        return _of_bundle(path, preprocess)
    if path.suffix == ".pt":
        raise WeightsError(
            f"{path} is a checkpoint, which does not say how images are preprocessed: "
            "name the bundle that the run ended with"
        )
    fitted = preprocess.over(for_photos())
    return Source(detect_spec(path, read_weights(path), fitted.size), fitted, None)


def _of_bundle(path: Path, preprocess: PreprocessOptions) -> Source:
    try:
        manifest = Bundle.load(path).manifest
        spec = ModelSpec(**{k: v for k, v in manifest.model.items() if k != "architecture"})
        training = manifest.metrics.get("training", {})
        learned, pruning = _learned_bottlenecks(training), pruning_of(training, back=manifest.plan.back)
    except (BundleError, ConfigError, TypeError, AttributeError) as error:
        raise WeightsError(f"cannot read weights from the bundle {path}: {error}") from error
    if learned:
        raise WeightsError(
            f"the network of {path} was trained with bottlenecks, and answers at random without them, so it "
            "cannot be split anew without training; one starts from it with "
            f"--weights {path} {' '.join(learned)}"
        )
    if pruning:
        raise WeightsError(
            f"the network of {path} was trained with pruning ({pruning}), and would be split anew without, "
            "for which it was never trained: name one that was trained without; a training starts from this "
            f"one with --weights {path}"
        )
    fitted = preprocess.over(manifest.preprocess)
    resized = replace(spec, input_size=fitted.size)
    if resized.small != spec.small:
        raise ConfigError(
            f"the network of {path} has the strides of a {spec.input_size} pixel input, "
            f"and would have others at {fitted.size}"
        )
    return Source(resized, fitted, manifest.labels)


def _learned_bottlenecks(training: Any) -> list[str]:
    """As options. A linear one was fitted to a network that does without."""
    found = ((link, layers_of(training.get(link, {})).bottleneck) for link in ("uplink", "downlink"))
    return [f"--{link}-bottleneck {it}" for link, it in found if it is not None and not it.linear]
