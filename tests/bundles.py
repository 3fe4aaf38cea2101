"""Small real bundles, made without torch: three ONNX graphs that honour the graph contract.

head  (rows, 3, 16, 16) float32 -> conv, ReLU6, quantize    -> (rows, 8, 8, 8) uint8, 4 bits
body  dequantize, conv, ReLU6, average pool, linear, quantize -> (rows, 16) uint8, 8 bits, signed
tail  dequantize, linear                                       -> (rows, 10) float32 logits
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from splitwire.bundle import Bundle, save_bundle
from splitwire.plan import BoundarySpec, SplitPlan
from splitwire.preprocess import Preprocess

__all__ = ["DOWNLINK", "LABELS", "SIZE", "UPLINK", "tiny_bundle"]

SIZE = 16
LABELS = tuple(f"class {i}" for i in range(10))
UPLINK = BoundarySpec(shape=(8, 8, 8), keep=1.0, bits=4, zero=0)
DOWNLINK = BoundarySpec(shape=(16,), keep=1.0, bits=8, zero=128)

_PREPROCESS = Preprocess(size=SIZE, resize=SIZE, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def tiny_bundle(
    path: Path, *, name: str = "tiny", seed: int = 0, body_repeats: int = 0, labels: tuple[str, ...] = LABELS
) -> Bundle:
    """Write a bundle to `path` and load it.

    seed: of the weights; another seed is another bundle, with another digest. body_repeats: further
    convolutions in the body, one after another, for tests that need a computation to take a while.
    labels: ten.
    """
    graphs = _Graphs(seed)
    return save_bundle(
        path,
        name=name,
        model={"architecture": "tiny", "width": 1.0, "input_size": SIZE, "num_classes": len(LABELS)},
        labels=labels,
        preprocess=_PREPROCESS,
        plan=SplitPlan(front=3, back=1),
        uplink=UPLINK,
        downlink=DOWNLINK,
        graphs={
            "head": graphs.head().SerializeToString(),
            "body": graphs.body(body_repeats).SerializeToString(),
            "tail": graphs.tail().SerializeToString(),
        },
        metrics={},
        versions={},
    )


class _Graphs:
    """Builds the three graphs; the scales that two of them share are drawn once."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._uplink_scale = self._rng.uniform(0.1, 0.4, (1, 8, 1, 1)).astype(np.float32)
        self._downlink_scale = self._rng.uniform(0.01, 0.04, (1, 16)).astype(np.float32)

    def head(self) -> ModelProto:
        nodes = [
            _conv("input", "head_conv", "convolved", stride=2),
            _node("Clip", ["convolved", "zero", "six"], "activation"),
            *_quantize("activation", lowest="zero", highest="fifteen"),
            _node("Cast", ["clamped"], "output", to=TensorProto.UINT8),
        ]
        constants = {
            "head_conv": self._weights(8, 3, 3, 3),
            "scale": self._uplink_scale,
            **_scalars(zero=0, six=6, fifteen=15),
        }
        return _model(
            nodes, constants, (TensorProto.FLOAT, (3, SIZE, SIZE)), (TensorProto.UINT8, UPLINK.shape)
        )

    def body(self, repeats: int) -> ModelProto:
        nodes = [
            _node("Cast", ["input"], "symbols", to=TensorProto.FLOAT),
            _node("Mul", ["symbols", "uplink_scale"], "received"),
            _conv("received", "body_conv", "convolved", stride=2),
            _node("Clip", ["convolved", "zero", "six"], "clipped"),
            _node("Loop", ["repeats", "", "clipped"], "repeated", body=_repeated_conv()),
            _node("ReduceMean", ["repeated", "pooled_axes"], "pooled", keepdims=0),
            _node("MatMul", ["pooled", "linear"], "activation"),
            *_quantize("activation", lowest="lowest", highest="highest"),
            _node("Add", ["clamped", "offset"], "shifted"),
            _node("Cast", ["shifted"], "output", to=TensorProto.UINT8),
        ]
        constants: dict[str, NDArray[Any]] = {
            "uplink_scale": self._uplink_scale,
            "body_conv": self._weights(16, 8, 3, 3),
            "repeats": np.array(repeats, np.int64),
            "repeat_conv": self._weights(16, 16, 3, 3),
            "pooled_axes": np.array([2, 3], np.int64),
            "linear": self._weights(16, 16),
            "scale": self._downlink_scale,
            **_scalars(zero=0, six=6, lowest=-128, highest=127, offset=128),
        }
        return _model(
            nodes, constants, (TensorProto.UINT8, UPLINK.shape), (TensorProto.UINT8, DOWNLINK.shape)
        )

    def tail(self) -> ModelProto:
        nodes = [
            _node("Cast", ["input"], "symbols", to=TensorProto.FLOAT),
            _node("Sub", ["symbols", "offset"], "centred"),
            _node("Mul", ["centred", "scale"], "received"),
            _node("Gemm", ["received", "linear", "bias"], "output"),
        ]
        constants = {
            "scale": self._downlink_scale,
            "linear": self._weights(16, 10),
            "bias": self._weights(10),
            **_scalars(offset=128),
        }
        return _model(
            nodes, constants, (TensorProto.UINT8, DOWNLINK.shape), (TensorProto.FLOAT, (len(LABELS),))
        )

    def _weights(self, *shape: int) -> NDArray[np.float32]:
        return self._rng.normal(0.0, 0.3, shape).astype(np.float32)


def _node(op: str, inputs: Sequence[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, list(inputs), [output], **attributes)


def _conv(source: str, weights: str, output: str, *, stride: int = 1) -> NodeProto:
    return _node("Conv", [source, weights], output, pads=[1, 1, 1, 1], strides=[stride, stride])


def _quantize(source: str, *, lowest: str, highest: str) -> list[NodeProto]:
    return [
        _node("Div", [source, "scale"], "scaled"),
        _node("Round", ["scaled"], "rounded"),
        _node("Clip", ["rounded", lowest, highest], "clamped"),
    ]


def _repeated_conv() -> GraphProto:
    nodes = [
        _node("Identity", ["going_on"], "goes_on"),
        _conv("before", "repeat_conv", "again"),
        _node("Clip", ["again", "zero", "six"], "after"),
    ]
    inputs = [
        helper.make_tensor_value_info("step", TensorProto.INT64, []),
        helper.make_tensor_value_info("going_on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
    ]
    outputs = [
        helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
    ]
    return helper.make_graph(nodes, "repeat", inputs, outputs)


def _scalars(**values: float) -> dict[str, NDArray[Any]]:
    return {name: np.array(value, np.float32) for name, value in values.items()}


def _model(
    nodes: list[NodeProto],
    constants: Mapping[str, NDArray[Any]],
    source: tuple[int, tuple[int, ...]],
    result: tuple[int, tuple[int, ...]],
) -> ModelProto:
    ports = [
        helper.make_tensor_value_info(name, dtype, ["rows", *shape])
        for name, (dtype, shape) in (("input", source), ("output", result))
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", ports[:1], ports[1:], initializers)
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
    checker.check_model(model)
    return model
