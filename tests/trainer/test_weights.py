import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from splitwire.errors import WeightsError
from splitwire.plan import SplitPlan
from tests.data import require_data
from trainer.checkpoint import save_checkpoint
from trainer.config import Bottleneck, BoundaryOptions
from trainer.model import MobileNetV2, ModelSpec
from trainer.network import SplitNetwork
from trainer.weights import load_weights, torchvision_name


def model(seed: int, *, classes: int = 3, width: float = 0.1) -> MobileNetV2:
    torch.manual_seed(seed)
    made = MobileNetV2(ModelSpec(num_classes=classes, input_size=32, width=width))
    for name, tensor in made.state_dict().items():
        if "running_" in name:
            tensor.uniform_(0.5, 1.5)
    return made


def public(of: MobileNetV2) -> dict[str, Tensor]:
    """Its state as torchvision would name it."""
    return {torchvision_name(name): tensor.clone() for name, tensor in of.state_dict().items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"


def outputs(of: MobileNetV2) -> Tensor:
    images = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        logits: Tensor = of.eval()(images)
    return logits


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("layers.stem.0.weight", "features.0.0.weight"),
        ("layers.stem.1.running_var", "features.0.1.running_var"),
        ("layers.block1.conv.0.0.weight", "features.1.conv.0.0.weight"),
        ("layers.block17.conv.3.num_batches_tracked", "features.17.conv.3.num_batches_tracked"),
        ("layers.conv_last.1.bias", "features.18.1.bias"),
        ("layers.classifier.1.weight", "classifier.1.weight"),
    ],
)
def test_names(ours: str, theirs: str) -> None:
    assert torchvision_name(ours) == theirs


def test_names_are_one_to_one() -> None:
    names = model(0).state_dict()
    assert len({torchvision_name(name) for name in names}) == len(names)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_every_tensor_arrives(tmp_path: Path, suffix: str) -> None:
    source, target = model(0), model(1)
    path = tmp_path / f"weights{suffix}"
    save: Callable[[dict[str, Tensor], Path], object] = (
        torch.save if suffix == ".pth" else safetensors.torch.save_file
    )
    save(public(source), path)
    report = load_weights(target, path)
    assert report.loaded == len(source.state_dict())
    assert report.reinitialized == ()
    assert torch.equal(outputs(source), outputs(target))


@pytest.mark.parametrize("plan", [SplitPlan(3, 1), SplitPlan(5, 0), SplitPlan(1, 14)], ids=str)
def test_a_checkpoint_of_whatever_plan(tmp_path: Path, plan: SplitPlan) -> None:
    """Bottlenecks, scales and tables belong to its boundaries, not to the model."""
    theirs, ours, options = model(1), model(2), BoundaryOptions(bits=4, bottleneck=Bottleneck(5))
    network = SplitNetwork(theirs, plan, options, options)
    expected = outputs(theirs)
    save_checkpoint(tmp_path / "checkpoint.pt", {"network": network.state_dict(), "metrics": []})
    report = load_weights(ours, tmp_path / "checkpoint.pt")
    assert report.reinitialized == ()
    assert torch.equal(outputs(ours), expected)


def reduced(of: MobileNetV2, up: str, down: str | None) -> SplitNetwork:
    """Cut at 3 and 1, with bottlenecks such as "4/2", in evaluation mode."""
    options = (BoundaryOptions(bottleneck=None if b is None else Bottleneck.parse(b)) for b in (up, down))
    return SplitNetwork(of, SplitPlan(3, 1), *options).eval()


@pytest.mark.parametrize(
    ("up", "down", "taken"),
    [
        ("4/2", "6", ("uplink", "downlink")),
        ("5/2", "6", ("downlink",)),
        ("4/2", None, ("uplink",)),
        ("4/2", "7", ("uplink",)),
        ("4/2/2", "6", ("uplink", "downlink")),
        ("4/2/0/2", "6", ("uplink", "downlink")),
    ],
)
def test_bottlenecks_that_fit_come_along(
    tmp_path: Path, up: str, down: str | None, taken: tuple[str, ...]
) -> None:
    theirs, path = reduced(model(1), "4/2", "6"), tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"network": theirs.state_dict(), "metrics": []})
    network = reduced(ours := model(2), up, down)
    report = load_weights(ours, path, network=network)
    assert report.bottlenecks == taken
    if taken == ("uplink", "downlink"):
        images = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(5))
        with torch.no_grad():
            assert torch.equal(network(images), theirs(images))


def test_a_decoder_without_the_files_blocks_starts_anew(tmp_path: Path) -> None:
    theirs, path = reduced(model(1), "4/2/2", "6"), tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"network": theirs.state_dict(), "metrics": []})
    network = reduced(ours := model(2), "4/2", "6")
    assert load_weights(ours, path, network=network).bottlenecks == ("downlink",)


def test_a_file_without_bottlenecks_leaves_them_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"network": reduced(model(1), "4/2", None).state_dict(), "metrics": []})
    network = reduced(ours := model(2), "4/2", "6")
    before = {name: t.clone() for name, t in network.state_dict().items() if "downlink_" in name}
    assert load_weights(ours, path, network=network).bottlenecks == ("uplink",)
    after = network.state_dict()
    assert before
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    states: list[dict[str, Any]] = [{"weights": {}}, {"network": 3}, {"network": {"head.stem.0.weight": 1}}]
    for state in states:
        save_checkpoint(tmp_path / "checkpoint.pt", state)
        with pytest.raises(WeightsError, match=r"checkpoint\.pt"):
            load_weights(model(0), tmp_path / "checkpoint.pt")


def test_batch_counters_may_be_absent(path: Path) -> None:
    source, target = model(0), model(1)
    state = {name: value for name, value in public(source).items() if "num_batches" not in name}
    safetensors.torch.save_file(state, path)
    report = load_weights(target, path)
    assert (report.loaded, report.reinitialized) == (len(state), ())
    assert torch.equal(outputs(source), outputs(target))


def test_half_precision_is_widened(path: Path) -> None:
    state = {
        name: value.half() if value.is_floating_point() else value for name, value in public(model(0)).items()
    }
    safetensors.torch.save_file(state, path)
    target = model(1)
    load_weights(target, path)
    assert torch.equal(target.state_dict()["layers.stem.0.weight"], state["features.0.0.weight"].float())


def refused(path: Path, state: dict[str, Tensor], **options: Any) -> str:
    """The error's text; the model must be as it was."""
    target = model(1)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    torch.save(state, path.with_suffix(".pth"))
    with pytest.raises(WeightsError) as caught:
        load_weights(target, path.with_suffix(".pth"), **options)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())
    return str(caught.value)


def test_all_entries_that_do_not_fit_are_named(path: Path) -> None:
    state = public(model(0))
    del state["features.3.conv.0.0.weight"], state["features.18.1.bias"]
    state |= {"extra.weight": torch.zeros(1), "features.19.0.weight": torch.zeros(1)}
    state["features.0.0.weight"] = torch.zeros(8, 3, 5, 5)
    state["features.0.1.num_batches_tracked"] = torch.zeros(2, dtype=torch.int64)
    state["features.2.conv.3.bias"] = torch.full_like(state["features.2.conv.3.bias"], torch.nan)
    state["features.4.conv.3.bias"] = torch.zeros_like(state["features.4.conv.3.bias"], dtype=torch.int8)
    state["features.5.conv.3.bias"] = state["features.5.conv.3.bias"].to_sparse()
    assert refused(path, state).splitlines() == [
        f"{path.with_suffix('.pth')} does not fit the model:",
        "  missing: features.3.conv.0.0.weight",
        "  missing: features.18.1.bias",
        "  unexpected: extra.weight",
        "  unexpected: features.19.0.weight",
        "  shape of features.0.0.weight: (8, 3, 5, 5), expected (8, 3, 3, 3)",
        "  shape of features.0.1.num_batches_tracked: (2,), expected ()",
        "  values of features.2.conv.3.bias: not all are finite",
        "  type of features.4.conv.3.bias: torch.strided torch.int8, expected dense torch.float32",
        "  type of features.5.conv.3.bias: torch.sparse_coo torch.float32, expected dense torch.float32",
    ]


def test_another_width(path: Path) -> None:
    text = refused(path, public(model(0, width=0.35)))
    assert text == (
        f"{path.with_suffix('.pth')} is of another width: its last block has 112 channels, the model's 32; "
        "--width 0.35 has about as many"
    )


def test_of_many_entries_the_first_are_named(path: Path) -> None:
    state = {name: value for name, value in public(model(0)).items() if "running" not in name}
    lines = refused(path, state).splitlines()
    assert len(lines) == 14
    assert lines[-1] == f"  and {len(public(model(0))) - len(state) - 12} more"


def test_a_classifier_of_another_size_is_an_error_unless_reset(path: Path) -> None:
    source = model(0, classes=7)
    assert "a classifier of 7 classes, the model one of 3: reset the classifier" in refused(
        path, public(source)
    )
    target = model(1)
    before = target.state_dict()["layers.classifier.1.weight"].clone()
    safetensors.torch.save_file(public(source), path)
    report = load_weights(target, path, reset_classifier=True)
    assert report.reinitialized == ("classifier.1.weight", "classifier.1.bias")
    assert report.loaded == len(source.state_dict()) - 2
    assert torch.equal(target.state_dict()["layers.classifier.1.weight"], before)
    stem = "layers.stem.0.weight"
    assert torch.equal(target.state_dict()[stem], source.state_dict()[stem])


def test_an_absent_classifier_is_an_error_unless_reset(path: Path) -> None:
    state = {name: value for name, value in public(model(0)).items() if not name.startswith("classifier")}
    assert "has no classifier, the model needs one of 3 classes" in refused(path, state)
    safetensors.torch.save_file(state, path)
    report = load_weights(model(1), path, reset_classifier=True)
    assert report.reinitialized == ("classifier.1.weight", "classifier.1.bias")


def test_reset_does_not_excuse_other_entries(path: Path) -> None:
    state = public(model(0))
    del state["features.0.0.weight"]
    assert "missing: features.0.0.weight" in refused(path, state, reset_classifier=True)


class _Command:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_a_hostile_pickle_runs_nothing(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "weights.pth"
    for save in (torch.save, lambda value, to: to.write_bytes(pickle.dumps(value))):
        save({"features.0.0.weight": _Command(mark)}, path)
        with pytest.raises(WeightsError, match="cannot read weights from"):
            load_weights(model(1), path)
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"no weights", b"\xff" * 64, b"PK\x03\x04"])
def test_what_is_no_weights_file(tmp_path: Path, suffix: str, content: bytes | None) -> None:
    path = tmp_path / f"weights{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"cannot read weights from {path}"):
        load_weights(model(1), path)


def test_a_file_that_is_not_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"features.0.0.weight": torch.ones(100)}, path)
    path.write_bytes(path.read_bytes().replace(b"\x80\x3f", b"\x80\x40"))
    with pytest.raises(WeightsError, match=f"cannot read weights from {path}: it is damaged"):
        load_weights(model(1), path)


def test_other_types_of_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"weights\.onnx must be a \.pth or \.safetensors file"):
        load_weights(model(1), tmp_path / "weights.onnx")


@pytest.mark.parametrize(
    "value", [[torch.zeros(1)], {"epoch": 3}, {"state_dict": {"a": torch.zeros(1)}}, {1: 2}]
)
def test_what_is_no_state_dict(tmp_path: Path, value: object) -> None:
    torch.save(value, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="must hold a state dict"):
        load_weights(model(1), tmp_path / "weights.pth")


def test_public_imagenet_weights() -> None:
    path = require_data("weights/mobilenet_v2_1.0_imagenet.safetensors")
    target = MobileNetV2(ModelSpec(num_classes=1000, input_size=224))
    report = load_weights(target, path)
    assert (report.loaded, report.reinitialized) == (314, ())
    with pytest.raises(WeightsError, match="a classifier of 1000 classes, the model one of 10"):
        load_weights(MobileNetV2(ModelSpec(num_classes=10, input_size=224)), path)


def test_public_features() -> None:
    path = require_data("weights/mobilenet_v2_0.35_features.safetensors")
    target = MobileNetV2(ModelSpec(num_classes=10, input_size=224, width=0.35))
    with pytest.raises(WeightsError, match="has no classifier, the model needs one of 10 classes"):
        load_weights(target, path)
    report = load_weights(target, path, reset_classifier=True)
    assert (report.loaded, report.reinitialized) == (312, ("classifier.1.weight", "classifier.1.bias"))


def folded(of: MobileNetV2) -> dict[str, Tensor]:
    """Its state, each BatchNorm in its convolution: what converters write who know no better."""
    state = public(of)
    for name in [name for name in state if name.endswith("running_var")]:
        at = name.removesuffix(".running_var")
        conv, _, index = at.rpartition(".")
        scale = state[f"{at}.weight"] / (state[name] + 1e-5).sqrt()
        before = f"{conv}.{int(index) - 1}.weight"
        state[before] *= scale[:, None, None, None] * (1 + 1e-5) ** 0.5
        state[f"{at}.bias"] -= state[f"{at}.running_mean"] * scale
        for entry, value in (("weight", 1.0), ("running_mean", 0.0), ("running_var", 1.0)):
            state[f"{at}.{entry}"].fill_(value)
    return state


def test_folded_weights_can_be_trained_on(path: Path) -> None:
    """In training BatchNorm normalizes: unless it knows by what, nothing of the network is left."""
    images = torch.rand((64, 3, 32, 32), generator=torch.Generator().manual_seed(6))
    original = model(1)
    safetensors.torch.save_file(folded(original), path)
    taken, prepared = model(2), model(3)
    load_weights(taken, path)
    load_weights(prepared, path, images=[images])
    torch.testing.assert_close(outputs(taken), outputs(original), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(outputs(prepared), outputs(original), rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        expected = prepared.eval()(images)
        for network in (taken, prepared):
            network.layers.classifier[0].p = 0.0  # type: ignore[index,union-attr]
        errors = [float((n.train()(images) - expected).abs().mean()) for n in (taken, prepared)]
    assert errors[1] < 0.1 * errors[0]


def test_statistics_are_estimated_around_whatever_a_batch_norm_does(path: Path) -> None:
    original = model(1)
    for name, tensor in original.state_dict().items():
        if name.endswith("running_mean"):
            tensor.zero_()
        elif name.endswith("running_var"):
            tensor.fill_(1.0)
        elif tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5)
    safetensors.torch.save_file(public(original), path)
    taken = model(2)
    load_weights(taken, path, images=[torch.rand((16, 3, 32, 32))])
    torch.testing.assert_close(outputs(taken), outputs(original), rtol=1e-3, atol=1e-4)
    assert float((taken.layers.stem[1].running_var - 1.0).abs().min()) > 1e-3  # type: ignore[index,union-attr]
