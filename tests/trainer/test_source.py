import re
from dataclasses import asdict
from pathlib import Path

import pytest
import safetensors.torch

from splitwire.errors import ConfigError, WeightsError
from splitwire.preprocess import Preprocess
from tests.trainer.networks import CLASSES, SIZE, make_dataset, make_model, make_network
from trainer.config import Bottleneck
from trainer.data.preprocessing import PreprocessOptions, for_photos
from trainer.export import export_bundle
from trainer.source import find_source
from trainer.weights import torchvision_name


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    state = {torchvision_name(name): tensor for name, tensor in make_model(width=0.35).state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def save(folder: Path, **training: object) -> Path:
    dataset = make_dataset()
    export_bundle(
        folder,
        make_network(width=0.2),
        labels=dataset.labels,
        preprocess=dataset.preprocess,
        metrics={"training": training} if training else {},
        name="a name",
    )
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return save(tmp_path / "bundle")


def test_a_file_says_width_and_classes(weights: Path) -> None:
    source = find_source(weights, PreprocessOptions())
    assert (source.spec.width, source.spec.num_classes, source.spec.input_size) == (0.35, CLASSES, 224)
    assert source.preprocess == for_photos()
    assert source.labels is None


def test_what_is_chosen_for_a_file(weights: Path) -> None:
    source = find_source(weights, PreprocessOptions(size=96, mean=(0.5, 0.5, 0.5)))
    assert source.spec.input_size == source.preprocess.size == 96
    assert source.preprocess.mean == (0.5, 0.5, 0.5)


def test_a_bundle_says_everything(bundle: Path) -> None:
    source = find_source(bundle, PreprocessOptions())
    dataset = make_dataset()
    assert (source.spec.width, source.spec.input_size) == (0.2, SIZE)
    assert (source.labels, source.preprocess) == (dataset.labels, dataset.preprocess)


def test_a_bundle_at_a_size_of_other_strides(bundle: Path) -> None:
    assert find_source(bundle, PreprocessOptions(size=64)).preprocess == Preprocess(
        size=64, resize=73, mean=(0.4,) * 3, std=(0.2,) * 3
    )
    with pytest.raises(
        ConfigError, match="has the strides of a 16 pixel input, and would have others at 224"
    ):
        find_source(bundle, PreprocessOptions(size=224))


def test_what_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a checkpoint, which does not say how images are preprocessed"):
        find_source(tmp_path / "checkpoint.pt", PreprocessOptions())
    with pytest.raises(WeightsError, match="cannot read weights from the bundle"):
        find_source(tmp_path, PreprocessOptions())
    with pytest.raises(WeightsError, match="cannot read weights"):
        find_source(tmp_path / "absent.pth", PreprocessOptions())


def test_a_network_that_needs_its_bottlenecks_cannot_do_without(tmp_path: Path) -> None:
    up, down = asdict(Bottleneck(24, 2, blocks=2)), asdict(Bottleneck(12, 2, linear=True))
    path = save(tmp_path / "learned", uplink={"bottleneck": up}, downlink={"bottleneck": down})
    with pytest.raises(WeightsError, match=f"--weights {re.escape(str(path))} --uplink-bottleneck 24/2/2$"):
        find_source(path, PreprocessOptions())


@pytest.mark.parametrize(
    ("uplink", "downlink", "named"),
    [({"keep": 0.1}, {}, "uplink keep 0.1"), ({}, {"dead_zone": 0.5}, "downlink dead-zone 0.5")],
)
def test_a_network_that_was_trained_with_pruning_cannot_do_without(
    tmp_path: Path, uplink: dict[str, float], downlink: dict[str, float], named: str
) -> None:
    path = save(tmp_path / "pruned", uplink=uplink, downlink=downlink)
    with pytest.raises(WeightsError, match=rf"trained with pruning \({named}\).* with --weights {path}$"):
        find_source(path, PreprocessOptions())


def test_a_fitted_bottleneck_can_be_left_out(tmp_path: Path) -> None:
    down = {"bottleneck": asdict(Bottleneck(12, 2, linear=True))}
    assert find_source(save(tmp_path / "fitted", uplink={}, downlink=down), PreprocessOptions()).labels


@pytest.mark.parametrize(
    "uplink", [{"bottleneck": {"channels": 0}}, {"bottleneck": 7}, None, {"bottleneck": {"x": 1}}]
)
def test_options_that_make_no_sense_are_no_bundle_of_ours(tmp_path: Path, uplink: object) -> None:
    with pytest.raises(WeightsError, match="cannot read weights from the bundle"):
        find_source(save(tmp_path / "odd", uplink=uplink), PreprocessOptions())
