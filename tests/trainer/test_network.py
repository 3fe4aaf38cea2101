from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from splitwire.plan import LAYERS, SplitPlan
from tests.trainer.networks import all_plans, make_images, make_model, make_network, same_bits
from trainer.config import Bottleneck, BoundaryOptions
from trainer.network import SplitNetwork

PRUNED = BoundaryOptions(keep=0.3, bits=8)
COARSE = BoundaryOptions(bits=3)
DEAD = BoundaryOptions(bits=4, dead_zone=0.8, ranges="learned")


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def serve(network: SplitNetwork, images: Tensor) -> Tensor:
    """Through the graphs, one after another, as serving does."""
    x = images
    for graph in network.graphs().values():
        x = graph(x)
    return x


def test_transparent_under_every_plan() -> None:
    """Boundaries off: split is unsplit, exactly, wherever it is cut."""
    model, images = make_model(), make_images(2)
    expected = model(images)
    plans = list(all_plans())
    assert len(plans) == 190
    for plan in plans:
        network = make_network(plan, model=model)
        assert same_bits(network(images), expected), plan
        assert same_bits(serve(network, images), expected), plan


@pytest.mark.parametrize(
    "plan", [SplitPlan(1, 0), SplitPlan(3, 1), SplitPlan(11, 1), SplitPlan(4, 10), SplitPlan(19, 0)]
)
@pytest.mark.parametrize(
    ("uplink", "downlink"), [(PRUNED, PRUNED), (COARSE, PRUNED), (COARSE, COARSE), (DEAD, DEAD)]
)
def test_serving_sees_what_training_simulates(
    plan: SplitPlan, uplink: BoundaryOptions, downlink: BoundaryOptions
) -> None:
    network, images = make_network(plan, uplink=uplink, downlink=downlink), make_images(3)
    assert same_bits(serve(network, images), network(images))


def test_layers_are_shared_with_the_model_and_all_there() -> None:
    model = make_model()
    network = make_network(SplitPlan(5, 2), model=model)
    names = [name for p in network.partitions.values() for name, _ in p.named_children()]
    assert names == [*LAYERS[:5], "uplink", *LAYERS[5:18], "downlink", *LAYERS[18:]]
    theirs = {id(parameter) for parameter in model.parameters()}
    assert {id(parameter) for parameter in network.parameters()} == theirs


def test_without_a_tail_the_cloud_answers_with_logits() -> None:
    network = make_network(SplitPlan(3, 0), uplink=COARSE, downlink=COARSE)
    assert list(network.partitions) == list(network.graphs()) == ["head", "body"]
    assert network.downlink.spec.off
    assert network.downlink.spec.shape == (4,)


@pytest.mark.parametrize(
    ("plan", "up", "down", "zeros"),
    [
        (SplitPlan(1, 1), (8, 16, 16), (1280,), (0, 0)),
        (SplitPlan(3, 2), (8, 8, 8), (32, 2, 2), (8, 8)),
        (SplitPlan(18, 1), (32, 2, 2), (1280,), (8, 0)),
    ],
)
def test_boundaries_fit_the_activations(
    plan: SplitPlan, up: tuple[int, ...], down: tuple[int, ...], zeros: tuple[int, int]
) -> None:
    """And use the whole grid above zero behind ReLU6, which only stem and conv_last end in."""
    options = BoundaryOptions(bits=4)
    uplink, downlink = make_network(plan, uplink=options, downlink=options).boundaries
    assert (uplink.spec.shape, downlink.spec.shape) == (up, down)
    assert (uplink.spec.zero, downlink.spec.zero) == zeros


def test_unsigned_boundaries_never_meet_a_negative() -> None:
    model, x = make_model(), make_images(4)
    for name, layer in model.layers.named_children():
        x = layer(x)
        assert bool((x < 0).any()) == (name not in ("stem", "conv_last")), name


def test_one_image_gives_the_same_symbols_in_any_batch() -> None:
    network = make_network(uplink=PRUNED, downlink=COARSE, size=32)
    graphs, images = network.graphs(), make_images(9, size=32)
    uplink = graphs["head"](images)
    downlink = graphs["body"](uplink)
    for start, stop in ((0, 1), (4, 5), (2, 5), (1, 9)):
        part = graphs["head"](images[start:stop])
        assert same_bits(part, uplink[start:stop])
        assert same_bits(graphs["body"](part), downlink[start:stop])


def test_building_changes_neither_statistics_nor_mode() -> None:
    for training in (True, False):
        model = make_model().train(training)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        SplitNetwork(model, SplitPlan(3, 1), PRUNED, COARSE)
        assert model.training == training
        assert all(same_bits(t.float(), before[name].float()) for name, t in model.state_dict().items())


def test_state_names_do_not_change() -> None:
    """Checkpoints are read by these names: a boundary is found twice, by its role and in its partition."""
    names = list(make_network(SplitPlan(3, 1)).state_dict())
    assert names[:4] == ["uplink.scale", "downlink.scale", "head.stem.0.weight", "head.stem.1.weight"]
    assert {"head.uplink.scale", "body.downlink.scale", "tail.classifier.1.weight"} <= set(names)
    assert len(names) == 314 + 4


def test_without_a_tail_no_stage_turns_the_downlink_on() -> None:
    network = make_network(SplitPlan(3, 0), uplink=COARSE)
    network.configure(PRUNED, COARSE)
    assert (network.uplink.spec.keep, network.uplink.spec.bits) == (0.3, 8)
    assert network.downlink.spec.off


def test_bfloat16_is_for_training_alone() -> None:
    network, images = make_network(uplink=COARSE, downlink=COARSE), make_images(2)
    expected = serve(network, images)
    layers: list[torch.dtype] = []
    convolution = next(m for m in network.body.modules() if isinstance(m, nn.Conv2d))
    convolution.register_forward_hook(lambda *call: layers.append(call[-1].dtype))
    network.set_bf16(True)
    assert network(images).dtype == torch.float32
    assert same_bits(serve(network, images), expected)
    assert layers == [torch.bfloat16, torch.float32]


@pytest.mark.parametrize("plan", [SplitPlan(3, 1), SplitPlan(2, 2), SplitPlan(3, 0)], ids=str)
def test_bottlenecks_belong_to_the_partitions_they_join(plan: SplitPlan) -> None:
    options = BoundaryOptions(bits=4, bottleneck=Bottleneck(5, 1))
    network = make_network(
        plan, uplink=BoundaryOptions(bits=3, bottleneck=Bottleneck(4, 2)), downlink=options
    )
    names = {role: [n for n, _ in p.named_children()] for role, p in network.partitions.items()}
    assert names["head"][-2:] == ["uplink_encoder", "uplink"]
    assert names["body"][0] == "uplink_decoder"
    assert network.uplink.spec.shape == (4, 4, 4) if plan.front == 3 else (4, 8, 8)
    assert network.uplink.spec.zero == 4, "signed"
    if plan.back:
        assert names["body"][-2:] == ["downlink_encoder", "downlink"]
        assert names["tail"][0] == "downlink_decoder"
        assert network.downlink.spec.shape[0] == 5
    else:
        assert network.downlink.spec.off
    images = make_images(3)
    assert same_bits(serve(network, images), network(images))
