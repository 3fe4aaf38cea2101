from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from splitwire.bundle import Bundle
from splitwire.engine import Engine
from splitwire.errors import GraphError
from splitwire.plan import SplitPlan
from tests.trainer.networks import CLASSES, SIZE, make_dataset, make_images, make_model, make_network
from trainer.boundary import Boundary
from trainer.config import BoundaryOptions
from trainer.export import export_bundle, export_graph, export_graphs
from trainer.network import SplitNetwork

PLANS = [SplitPlan(*plan) for plan in ((1, 0), (1, 1), (3, 1), (2, 17), (11, 1), (19, 0))]
COARSE, FINE = BoundaryOptions(bits=3), BoundaryOptions(bits=8)
DEAD = BoundaryOptions(bits=4, dead_zone=0.8, ranges="learned")
DEAD_FLOATS = BoundaryOptions(dead_zone=0.8)
PRUNED, FLOATS = BoundaryOptions(keep=0.1, bits=8), BoundaryOptions(keep=0.3)

#: How far torch and ONNX Runtime may differ: they sum in other orders, and BatchNorm is folded in. Of the
#: largest value: what the last bit of a logit of 6 is worth depends on the processor's own order of sums.
TOLERANCE = 1e-4


def engines(network: SplitNetwork) -> dict[str, Engine]:
    return {name: Engine(graph) for name, graph in export_graphs(network).items()}


def chain(network: SplitNetwork, images: Tensor) -> dict[str, NDArray[Any]]:
    """What ONNX Runtime gives at the end of each graph."""
    x, results = images.numpy(), {}
    for name, engine in engines(network).items():
        x = results[name] = engine.run(x)
    return results


def assert_close(found: NDArray[Any], expected: Tensor) -> None:
    assert np.abs(found - expected.numpy()).max() < TOLERANCE * max(1.0, float(expected.abs().max()))


def assert_same_symbols(found: NDArray[Any], activation: Tensor, boundary: Boundary) -> None:
    """Equal, but for activations that lie on a border: as the last bits fall, they round up or down.

    On a border: within TOLERANCE of half way between two levels, or of the least magnitude that is kept.
    """
    expected = boundary.quantize(activation).numpy()
    differ = torch.from_numpy(found.astype(np.float32) != expected)
    scale = boundary.scale.view(-1, *[1] * (activation.ndim - 2))
    levels = activation / scale if boundary.spec.quantized else activation
    slack = TOLERANCE * activation.abs().max() / (scale if boundary.spec.quantized else 1.0)
    rounds = (levels - levels.floor() - 0.5).abs() < slack
    if boundary.spec.keep < 1:
        magnitude = activation.abs().flatten(1)
        least = torch.where(boundary._keeps(activation).flatten(1), magnitude, torch.inf).amin(
            1, keepdim=True
        )
        rounds |= ((magnitude - least).abs() < TOLERANCE * magnitude.max()).view_as(rounds)
    if boundary.dead_zone:
        rounds |= (activation.abs() - boundary._edge()).abs() < TOLERANCE * activation.abs().max()
    assert not bool((differ & ~rounds).any())
    assert float(differ.float().mean()) < 1e-2


@pytest.fixture(autouse=True)
def without_gradients() -> Any:
    with torch.no_grad():
        yield


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_without_boundaries_as_the_unsplit_network(plan: SplitPlan) -> None:
    network = make_network(plan)
    images = make_images(3)
    logits = list(chain(network, images).values())[-1]
    assert_close(logits, make_model()(images))


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_with_boundaries_symbol_for_symbol(plan: SplitPlan) -> None:
    """Each graph on the same input as torch's."""
    network, images = make_network(plan, uplink=COARSE, downlink=FINE), make_images(5)
    runs, graphs = engines(network), network.graphs()
    activation = network.head[:-1](images)
    assert_same_symbols(runs["head"].run(images.numpy()), activation, network.uplink)
    symbols = graphs["head"](images)
    activation = network.body[:-1](network.uplink.reconstruct(symbols))
    found = runs["body"].run(symbols.numpy())
    if plan.back:
        assert_same_symbols(found, activation, network.downlink)
        symbols = graphs["body"](symbols)
        found, activation = runs["tail"].run(symbols.numpy()), graphs["tail"](symbols)
    assert_close(found, activation)


@pytest.mark.parametrize(
    ("uplink", "downlink"),
    [(PRUNED, PRUNED), (FLOATS, COARSE), (BoundaryOptions(keep=0.2, bits=4), FLOATS), (DEAD, DEAD)],
)
def test_every_kind_of_boundary(uplink: BoundaryOptions, downlink: BoundaryOptions) -> None:
    network, images = make_network(uplink=uplink, downlink=downlink), make_images(5)
    runs, up = engines(network), network.head[:-1](images)
    found = runs["head"].run(images.numpy())
    if network.uplink.spec.quantized:
        assert_same_symbols(found, up, network.uplink)
    else:
        assert np.abs(found - network.uplink.quantize(up).numpy()).max() < TOLERANCE
    symbols = network.uplink.quantize(up)
    down = network.body[:-1](network.uplink.reconstruct(symbols))
    found = runs["body"].run(symbols.numpy())
    if network.downlink.spec.quantized:
        assert_same_symbols(found, down, network.downlink)
    else:
        assert np.abs(found - network.downlink.quantize(down).numpy()).max() < TOLERANCE


def seen_by_the_layers(graph: bytes) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Runs a graph up to the tensor that its first layer takes: the reconstructed activation."""
    model = onnx.load_from_string(graph)
    first = next(node for node in model.graph.node if node.op_type in ("Conv", "Gemm"))
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(first.input[0]))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(symbols: NDArray[Any]) -> NDArray[Any]:
        seen: NDArray[Any] = session.run([first.input[0]], {"input": symbols})[0]
        return seen

    return run


@pytest.mark.parametrize("plan", [SplitPlan(1, 1), SplitPlan(3, 1), SplitPlan(18, 1)], ids=str)
@pytest.mark.parametrize(
    "options", [COARSE, FINE, PRUNED, FLOATS, DEAD], ids=["3", "8", "pruned", "floats", "dead zone"]
)
def test_the_layers_see_what_training_simulated(plan: SplitPlan, options: BoundaryOptions) -> None:
    """Bit for bit, on either side: of every symbol that there is, and of real activations."""
    network = make_network(plan, uplink=options, downlink=options)
    graphs = export_graphs(network)
    for name, boundary in (("body", network.uplink), ("tail", network.downlink)):
        seen = seen_by_the_layers(graphs[name])
        x = torch.randn((3, *boundary.spec.shape), generator=torch.Generator().manual_seed(0))
        symbols = boundary.quantize(x)
        assert seen(symbols.numpy()).tobytes() == boundary(x).numpy().tobytes(), name
        if boundary.spec.quantized:
            every = (torch.arange(x.numel()) % (1 << boundary.spec.bits)).view_as(x).to(torch.uint8)
            assert seen(every.numpy()).tobytes() == boundary.reconstruct(every).numpy().tobytes(), name


class Quantize(nn.Module):
    """What a boundary makes of activations, as a graph of its own."""

    def __init__(self, boundary: Boundary) -> None:
        super().__init__()
        self.boundary = boundary

    def forward(self, x: Tensor) -> Tensor:
        return self.boundary.quantize(x)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    "options",
    [DEAD, DEAD_FLOATS, BoundaryOptions(bits=2, dead_zone=1.9), COARSE, PRUNED],
    ids=["dead zone", "floats", "wide", "3", "pruned"],
)
def test_of_the_same_activations_the_same_symbols(options: BoundaryOptions, signed: bool) -> None:
    """Bit for bit, by ONNX Runtime: nothing but the boundary is in the graph, so no sum has another order."""
    boundary = Boundary((5, 6, 7), options, signed=signed)
    sizes = torch.tensor([1e-3, 0.1, 1.0, 7.0, 300.0]).view(5, 1, 1)
    x = sizes * torch.randn((9, 5, 6, 7), generator=torch.Generator().manual_seed(0))
    x = x if signed else x.relu()
    boundary.calibrating = True
    boundary(x)
    boundary.calibrate()
    engine = Engine(export_graph(Quantize(boundary), x))
    assert engine.run(x.numpy()).tobytes() == boundary.quantize(x).numpy().tobytes()
    assert engine.run(x[3:4].numpy()).tobytes() == boundary.quantize(x)[3:4].numpy().tobytes()


@pytest.mark.parametrize(
    "options", [COARSE, PRUNED, FLOATS, DEAD], ids=["3", "pruned", "floats", "dead zone"]
)
@pytest.mark.parametrize("size", [16, 32])
def test_one_image_gives_the_same_symbols_in_any_batch(options: BoundaryOptions, size: int) -> None:
    network = make_network(uplink=options, downlink=options, size=size)
    runs, images = engines(network), make_images(9, size=size).numpy()
    uplink = runs["head"].run(images)
    downlink = runs["body"].run(uplink)
    for start, stop in ((0, 1), (4, 5), (2, 5), (1, 9)):
        part = runs["head"].run(images[start:stop])
        assert part.tobytes() == uplink[start:stop].tobytes()
        assert runs["body"].run(part).tobytes() == downlink[start:stop].tobytes()


def test_graphs_honour_the_contract() -> None:
    network = make_network(uplink=COARSE, downlink=FLOATS)
    head, body, tail = engines(network).values()
    assert (head.input_shape, head.output_shape) == ((3, SIZE, SIZE), (8, 8, 8))
    assert (body.input_dtype, body.output_dtype) == (np.dtype(np.uint8), np.dtype(np.float32))
    assert (tail.input_shape, tail.output_shape) == ((1280,), (CLASSES,))
    with pytest.raises(GraphError):
        head.run(np.zeros((1, 3, SIZE, SIZE), np.uint8))


def test_batch_norm_is_folded_and_dropout_gone() -> None:
    for graph in export_graphs(make_network(uplink=COARSE, downlink=COARSE, dropout=0.5).train()).values():
        operations = {node.op_type for node in onnx.load_from_string(graph).graph.node}
        assert not operations & {"BatchNormalization", "Dropout"}, operations


def test_no_traces_of_the_machine_and_the_same_bytes_again() -> None:
    network = make_network(uplink=PRUNED, downlink=COARSE)
    graphs = export_graphs(network)
    assert graphs == export_graphs(network)
    for graph in graphs.values():
        assert b".py" not in graph
        assert str(Path(__file__).parents[2]).encode() not in graph


def test_a_network_that_trained_in_bfloat16_is_exported_in_float32() -> None:
    network = make_network(uplink=COARSE, downlink=COARSE)
    expected = export_graphs(network)
    network.set_bf16(True)
    assert export_graphs(network) == expected


@pytest.mark.parametrize("back", [0, 1])
def test_the_bundle_says_what_it_is(tmp_path: Path, back: int) -> None:
    network = make_network(SplitPlan(3, back), uplink=COARSE, downlink=FINE)
    dataset = make_dataset()
    made = export_bundle(
        tmp_path / "bundle",
        network,
        labels=dataset.labels,
        preprocess=dataset.preprocess,
        metrics={"accuracy": 0.5},
        name="a name",
    )
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.digest == made.digest
    manifest = bundle.manifest
    assert (manifest.name, manifest.labels, manifest.preprocess) == (
        "a name",
        dataset.labels,
        dataset.preprocess,
    )
    assert (manifest.plan, manifest.uplink, manifest.downlink) == (
        SplitPlan(3, back),
        network.uplink.spec,
        network.downlink.spec,
    )
    assert manifest.model["width"] == 0.1
    assert manifest.metrics == {"accuracy": 0.5}
    assert set(manifest.versions) == {"splitwire", "python", "torch", "onnx", "onnxruntime"}
    assert list(manifest.roles) == ["head", "body", "tail"][: 2 + back]
    for role in manifest.roles:
        bundle.engine(role).warm_up()
