"""`trainer --epochs 0 --calibrate IMAGES`: from weights to a bundle, without training."""

from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

import torch

from splitwire.bundle import Bundle
from splitwire.errors import ConfigError
from trainer.claim import check_bundle
from trainer.data.unlabelled import load_images
from trainer.export import export_bundle
from trainer.model import MobileNetV2
from trainer.outline import outline
from trainer.post_training.distill import Distilled, distill
from trainer.post_training.request import SplitRequest
from trainer.post_training.split import Chosen, fit_tables, split_network
from trainer.source import Source, find_source
from trainer.weights import load_weights

__all__ = ["run_split"]

_BATCH = 50


def run_split(
    request: SplitRequest, bundle: Path, *, overwrite: bool, threads: int | None, progress: bool
) -> Bundle:
    """Splits, writes `bundle` and prints what was chosen and what it costs.

    overwrite: whether a bundle that is there may be replaced.

    Raises:
        WeightsError: they cannot be read, or are no MobileNetV2's.
        DatasetError: too few images, or one that cannot be read.
        ConfigError: preprocessing or labels that do not fit, no quantization loses as little as allowed, or a
            bundle is there.
        BundleError: something else is there, or it cannot be written.
    """
    check_bundle(bundle, replace=overwrite)
    if threads is not None:
        torch.set_num_threads(threads)
    source = find_source(request.weights, request.preprocess)
    labels = _labels(request.labels, source)
    images = load_images(request.calibrate, source.preprocess, progress=progress)
    model = MobileNetV2(source.spec)
    pixels = torch.from_numpy(source.preprocess.normalize(images))
    load_weights(model, request.weights, images=pixels.split(_BATCH))
    unsplit = deepcopy(model).eval()
    network, chosen = split_network(
        model, request.plan, pixels, max_drop=request.max_drop, seed=request.seed, progress=progress
    )
    print(outline(network))
    print(_found(chosen, len(images), request.max_drop))
    distilled = None
    if request.distill_steps:
        distilled = distill(
            network, unsplit, pixels, steps=request.distill_steps, seed=request.seed, progress=progress
        )
        chosen = _measured_again(chosen, distilled, fit_tables(network, pixels))
        print(_told(distilled, request.distill_steps))
    saved = export_bundle(
        bundle,
        network,
        labels=labels,
        preprocess=source.preprocess,
        metrics=_metrics(chosen, len(images), request, distilled),
        name=request.name,
    )
    print(f"bundle   {saved.path}  digest {saved.digest.hex()}")
    print(f"serve it:  cloud --bundle {saved.path}   and   edge --bundle {saved.path}")
    return saved


def _measured_again(chosen: Chosen, distilled: Distilled, downlink_bytes: float) -> Chosen:
    """As the network is now; what crosses the uplink is what it was."""
    agreement = distilled.agreement if distilled.improved else chosen.uplink.agreement
    return replace(chosen, uplink=replace(chosen.uplink, agreement=agreement), downlink_bytes=downlink_bytes)


def _told(distilled: Distilled, steps: int) -> str:
    text = (
        f"distilled in {steps} steps: on {distilled.held_out} images held out, answers diverge by "
        f"{distilled.after:.4f} nats after {distilled.before:.4f}: "
    )
    if not distilled.improved:
        return f"{text}no better, so the weights stay as they were"
    same, drop = distilled.agreement.same, distilled.agreement.drop
    return f"{text}kept; of these {same:.1f} % keep their label, and {drop:.2f} points of accuracy are lost"


def _labels(path: Path | None, source: Source) -> tuple[str, ...]:
    classes = source.spec.num_classes
    if path is None:
        return source.labels or tuple(str(index) for index in range(classes))
    try:
        labels = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read labels from {path}: {error}") from None
    if len(labels) != classes:
        raise ConfigError(f"{path} has {len(labels)} labels, one a line; the network has {classes} classes")
    if len(set(labels)) != classes or "" in labels:
        raise ConfigError(f"{path}: labels must be {classes} different ones, none empty")
    return labels


def _found(chosen: Chosen, images: int, max_drop: float) -> str:
    agreement = chosen.uplink.agreement
    return (
        f"calibrated on {images} images, each judged by what was fitted to the others:\n"
        f"  uplink     {chosen.uplink.bytes:,.0f} B an image\n"
        f"  downlink   {chosen.downlink_bytes:,.0f} B\n"
        f"  agreement  {agreement.same:.1f} % keep their label; by the unsplit network's own beliefs\n"
        f"             {agreement.drop:.2f} points of accuracy are lost, {agreement.bound:.2f} at the most, "
        f"of {max_drop:g} allowed"
    )


def _metrics(
    chosen: Chosen, images: int, request: SplitRequest, distilled: Distilled | None
) -> dict[str, object]:
    """training: what trainer/bundle_weights.py needs to read the bundle again. distillation: where there was
    one; agreement and drop are then, if its weights were kept, of the images that it held out."""
    return _of_distillation(distilled) | {
        "agreement": chosen.uplink.agreement.same / 100,
        "drop": chosen.uplink.agreement.drop / 100,
        "images": images,
        "uplink_bytes": chosen.uplink.bytes,
        "downlink_bytes": chosen.downlink_bytes,
        "training": {
            "epochs": 0,
            "max_drop": request.max_drop,
            "distill_steps": request.distill_steps,
            "seed": request.seed,
            "uplink": asdict(chosen.uplink_options),
            "downlink": asdict(chosen.downlink_options),
        },
    }


def _of_distillation(distilled: Distilled | None) -> dict[str, object]:
    if distilled is None:
        return {}
    found = {
        "held_out": distilled.held_out,
        "kept": distilled.improved,
        "divergence_before": distilled.before,
        "divergence": distilled.after,
    }
    return {"distillation": found}
