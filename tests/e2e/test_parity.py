"""What the cloud's layers see in service is what they saw in training, bit for bit, on real images.

head.onnx -> activation -> symbols -> frame -> message -> frame -> symbols -> body.onnx -> received
                 |                                           |                                |
                 '---- trainer/boundary.py, as in training --+-- reconstruct -----------------'
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from protos import splitwire_pb2 as pb
from protos.convert import frame_from_message, frame_to_message
from splitwire.bundle import Bundle
from splitwire.frame import decode, encode
from splitwire.plan import BoundarySpec
from tests.data import require_cifar10
from tests.e2e.processes import ROOT
from trainer.boundary import Boundary
from trainer.config import BoundaryOptions
from trainer.data import cifar10

#: The bundle that ships, or another one that was trained on CIFAR-10.
_BUNDLE = Path(os.environ.get("SPLITWIRE_BUNDLE", ROOT / "models" / "cifar10"))

_IMAGES = 1000
_ROLES = ("head", "body", "tail")


class _Graph:
    """A bundle's graph, run one image at a time, that shows what its layers take and give."""

    def __init__(self, bundle: Bundle, role: str) -> None:
        model = onnx.load(bundle.graph(role))
        self._nodes = list(model.graph.node)
        self._constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        # Exporting names nodes after modules: the layers', and not the boundaries', lie below /layers.
        layers = [node for node in self._nodes if node.name.startswith("/layers/")]
        others = [node for node in self._nodes if not node.name.startswith("/layers/")]
        # A boundary's last step is the product with its scales; the head has none before its layers.
        entry = next((node.output[0] for node in others if node.op_type == "Mul"), "input")
        self._shown = [entry, layers[-1].output[0]]
        for name in self._shown:
            if name not in ("input", "output"):
                model.graph.output.append(onnx.ValueInfoProto(name=name))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model.SerializeToString(), options)

    def run(self, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """What the first layer takes, what the last one gives, and the graph's own output, of all rows."""
        runs = [self._run_one(row[None]) for row in rows]
        into, out, result = (np.concatenate(parts) for parts in zip(*runs, strict=True))
        return into, out, result

    def scale(self, operation: str) -> NDArray[np.float32]:
        """What the boundary divides ("Div") or multiplies ("Mul") by: float32, one for each channel."""
        (node,) = (n for n in self._nodes if n.op_type == operation and not n.name.startswith("/layers/"))
        (scale,) = (self._constants[name] for name in node.input if name in self._constants)
        return scale.ravel()

    def _run_one(self, row: NDArray[Any]) -> list[NDArray[Any]]:
        wanted = [name for name in (*self._shown, "output") if name != "input"]
        found: dict[str, NDArray[Any]] = dict(
            zip(wanted, self._session.run(wanted, {"input": row}), strict=True)
        )
        return [(found | {"input": row})[name] for name in (*self._shown, "output")]


@dataclass(frozen=True)
class _Crossing:
    """One boundary, by all images: activation before it, symbols of it, received behind it."""

    spec: BoundarySpec
    activation: NDArray[np.float32]
    symbols: NDArray[np.uint8]
    unpacked: NDArray[np.uint8]
    received: NDArray[np.float32]
    scales: tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class _Service:
    """Every image, served one by one."""

    bundle: Bundle
    images: NDArray[np.float32]
    crossings: tuple[_Crossing, _Crossing]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    if not (_BUNDLE / "manifest.json").is_file():
        pytest.skip(f"no bundle at {_BUNDLE}; $SPLITWIRE_BUNDLE names another")
    bundle = Bundle.load(_BUNDLE)
    assert bundle.manifest.roles == _ROLES
    assert bundle.manifest.uplink.quantized
    assert bundle.manifest.downlink.quantized
    return bundle


@pytest.fixture(scope="module")
def service(bundle: Bundle) -> _Service:
    test = cifar10.load(require_cifar10(), download=False, progress=False).test
    images = bundle.manifest.preprocess.normalize(test.images[:_IMAGES])
    head, body, tail = (_Graph(bundle, role) for role in _ROLES)
    _, leaves_head, uplink = head.run(images)
    unpacked = _over_the_wire(uplink, bundle.manifest.uplink, pb.ForwardRequest)
    enters_body, leaves_body, downlink = body.run(unpacked)
    returned = _over_the_wire(downlink, bundle.manifest.downlink, pb.ForwardReply)
    enters_tail, _, _ = tail.run(returned)
    up, down = (head.scale("Div"), body.scale("Mul")), (body.scale("Div"), tail.scale("Mul"))
    manifest = bundle.manifest
    return _Service(
        bundle,
        images,
        (
            _Crossing(manifest.uplink, leaves_head, uplink, unpacked, enters_body, up),
            _Crossing(manifest.downlink, leaves_body, downlink, returned, enters_tail, down),
        ),
    )


@pytest.fixture(params=["uplink", "downlink"])
def crossing(service: _Service, request: pytest.FixtureRequest) -> _Crossing:
    return service.crossings[request.param == "downlink"]


def _over_the_wire(
    symbols: NDArray[Any], spec: BoundarySpec, message: type[pb.ForwardRequest] | type[pb.ForwardReply]
) -> NDArray[Any]:
    """Each row in a frame of its own, in a message, as bytes, and back."""
    rows = []
    for row in symbols:
        sent = message(frame=frame_to_message(encode(row[None], spec), spec)).SerializeToString()
        rows.append(decode(frame_from_message(message.FromString(sent).frame, spec), spec, max_rows=1))
    return np.concatenate(rows)


def _boundary_of_training(crossing: _Crossing) -> Boundary:
    options = BoundaryOptions(keep=crossing.spec.keep, bits=crossing.spec.bits)
    boundary = Boundary(crossing.spec.shape, options, signed=crossing.spec.zero > 0)
    boundary.scale.copy_(torch.tensor(crossing.scales[0]))
    assert boundary.spec == replace(crossing.spec, tables=None)
    return boundary


def _assert_same_bits(a: NDArray[Any], b: NDArray[Any]) -> None:
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def test_the_symbols_that_arrive_are_those_that_the_graph_produced(crossing: _Crossing) -> None:
    assert len(crossing.symbols) == _IMAGES
    assert len(np.unique(crossing.symbols)) > 2, "symbols that are all alike prove nothing"
    _assert_same_bits(crossing.unpacked, crossing.symbols)


def test_showing_the_tensors_changed_no_symbol(service: _Service) -> None:
    head, body = (service.bundle.engine(role) for role in ("head", "body"))
    uplink, downlink = service.crossings
    _assert_same_bits(_one_by_one(head, service.images), uplink.symbols)
    _assert_same_bits(_one_by_one(body, uplink.unpacked), downlink.symbols)


def test_both_sides_of_a_boundary_hold_the_same_scales(crossing: _Crossing) -> None:
    assert crossing.scales[0].shape == crossing.spec.shape[:1]
    _assert_same_bits(*crossing.scales)


def test_the_layers_see_the_symbols_as_arithmetic_says(crossing: _Crossing) -> None:
    scale = crossing.scales[1].reshape(-1, *[1] * (len(crossing.spec.shape) - 1))
    integers = crossing.unpacked.astype(np.int16) - crossing.spec.zero
    _assert_same_bits(crossing.received, integers.astype(np.float32) * scale)


def test_the_layers_see_what_training_reconstructs_of_the_symbols(crossing: _Crossing) -> None:
    with torch.no_grad():
        seen = _boundary_of_training(crossing).reconstruct(torch.from_numpy(crossing.unpacked))
    _assert_same_bits(crossing.received, seen.numpy())


def test_the_layers_see_what_training_makes_of_the_activations(crossing: _Crossing) -> None:
    boundary = _boundary_of_training(crossing)
    activation = torch.from_numpy(crossing.activation)
    with torch.no_grad():
        symbols, seen = boundary.quantize(activation), boundary(activation)
    _assert_same_bits(crossing.symbols, symbols.numpy())
    _assert_same_bits(crossing.received, seen.numpy())


@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_changes_no_symbol(service: _Service, threads: int) -> None:
    """Every size from 2 to 64, over other images each time: every image is at some place of some batch."""
    head, body = (service.bundle.engine(role, threads=threads) for role in ("head", "body"))
    uplink, downlink = service.crossings
    for rows in _batches(range(2, 65), len(service.images)):
        _assert_same_bits(head.run(service.images[rows]), uplink.symbols[rows])
        _assert_same_bits(body.run(uplink.unpacked[rows]), downlink.symbols[rows])


def test_the_place_in_a_batch_changes_no_symbol(service: _Service) -> None:
    head, body = (service.bundle.engine(role) for role in ("head", "body"))
    uplink, downlink = service.crossings
    for shift in range(16):
        rows = np.roll(np.arange(16), shift)
        _assert_same_bits(head.run(service.images[rows]), uplink.symbols[rows])
        _assert_same_bits(body.run(uplink.unpacked[rows]), downlink.symbols[rows])


def _batches(sizes: Sequence[int], count: int) -> list[NDArray[np.int64]]:
    ends = np.cumsum(sizes)
    assert ends[-1] >= count
    return [np.arange(end - size, end) % count for size, end in zip(sizes, ends, strict=True)]


def _one_by_one(engine: Any, rows: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([engine.run(row[None]) for row in rows])
