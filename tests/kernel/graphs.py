"""ONNX graphs of any contract, kept or broken. Whole bundles are in tests/bundles.py."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

__all__ = ["FLOAT", "INT64", "UINT8", "Value", "graph", "partition"]

FLOAT, UINT8, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64

#: name, element type, shape
Value = tuple[str, int, Sequence[int | str | None] | None]


def graph(
    nodes: Sequence[NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    **constants: NDArray[np.generic],
) -> bytes:
    proto = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(proto, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
    data: bytes = model.SerializeToString()
    return data


def partition(
    source: tuple[int, tuple[int, ...]], result: tuple[int, tuple[int, ...]], *, gain: float = 1.0
) -> bytes:
    """A graph that honours the contract: each row's mean, times `gain`, in every element of the result."""
    (source_type, source_shape), (result_type, result_shape) = source, result
    nodes = [
        helper.make_node("Cast", ["input"], ["float"], to=FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"], axis=1),
        helper.make_node("ReduceMean", ["flat", "axis"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["mean", "gains"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "shape"], ["shaped"]),
        helper.make_node("Cast", ["shaped"], ["output"], to=result_type),
    ]
    return graph(
        nodes,
        [("input", source_type, ["rows", *source_shape])],
        [("output", result_type, ["rows", *result_shape])],
        axis=np.array([1], np.int64),
        gains=np.full((1, int(np.prod(result_shape))), gain, np.float32),
        shape=np.array([-1, *result_shape], np.int64),
    )
