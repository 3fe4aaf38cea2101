"""A partition's graph: load, warm up, run."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitwire.errors import GraphError

# Some builds report their use to their maker, and keep an identifier in the user's home, from the moment of
# the import. Whoever wants that can set it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

__all__ = ["Engine"]

_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(uint8)": np.dtype(np.uint8),
}


class Engine:
    """One ONNX graph on the CPU. `run` may be called from several threads at once.

    The contract: one input named "input", one output named "output", both float32 or uint8, whose
    first dimension is dynamic and named "rows", and whose other dimensions are fixed; no weights in
    other files.

    input_shape, output_shape: of one row, without the first dimension.

    Args:
        graph: an .onnx file, or its bytes.
        name: what errors call a graph that is bytes.
        threads: how many threads one run may use.

    Raises:
        GraphError: it cannot be loaded, or breaks the contract.
    """

    def __init__(self, graph: Path | bytes, *, name: str = "graph", threads: int = 1) -> None:
        self._name = name if isinstance(graph, bytes) else graph.name
        try:
            data = graph if isinstance(graph, bytes) else graph.read_bytes()
            self._session = ort.InferenceSession(data, _options(threads), ["CPUExecutionProvider"])
        except Exception as e:  # ONNX Runtime's exceptions share no base of their own
            raise GraphError(f"{self._name} cannot be loaded: {_first_line(e)}") from e
        self.input_shape, self.input_dtype = self._row("input", self._session.get_inputs())
        self.output_shape, self.output_dtype = self._row("output", self._session.get_outputs())

    def warm_up(self) -> None:
        """Runs one row of zeros: memory is planned, pages are touched, and a broken graph shows itself."""
        self.run(np.zeros((1, *self.input_shape), self.input_dtype))

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """(rows, *input_shape) of input_dtype -> (rows, *output_shape) of output_dtype.

        Raises:
            GraphError: `x` is not that, or the graph fails, or gives something else.
        """
        if x.dtype != self.input_dtype or x.shape[1:] != self.input_shape or not x.ndim or not len(x):
            raise GraphError(
                f"{self._name} takes {self.input_dtype} (rows, *{self.input_shape}), got {x.dtype} {x.shape}"
            )
        try:
            y: NDArray[Any] = self._session.run(["output"], {"input": x})[0]
        except Exception as e:
            raise GraphError(f"{self._name} failed: {_first_line(e)}") from e
        if y.shape != (len(x), *self.output_shape):
            raise GraphError(
                f"{self._name} gave {y.shape} for {len(x)} rows, expected (rows, *{self.output_shape})"
            )
        return y

    def _row(self, name: str, values: list[Any]) -> tuple[tuple[int, ...], np.dtype[Any]]:
        found = [v.name for v in values]
        if found != [name]:
            raise GraphError(f"{self._name} must have one {name} named {name!r}, has {found}")
        rows, *shape = values[0].shape or [None]
        if rows != "rows" or any(type(d) is not int for d in shape):
            raise GraphError(f"{self._name}: {name} must be (rows, fixed...), is {values[0].shape}")
        if values[0].type not in _DTYPES:
            raise GraphError(f"{self._name}: {name} must be float32 or uint8, is {values[0].type}")
        return tuple(shape), _DTYPES[values[0].type]


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1  # a chain of layers: nothing runs beside it
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # what goes wrong is raised
    # Threads spin for the next layer's work, and sleep when the run ends: a service that mostly waits
    # must not burn a core, but waking them for each of fifty layers costs more than the layers do.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # A graph holds its own weights: files beside it would be read without anyone having verified them.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    # The memory arena stays on, as is the default. It keeps what the largest run so far took, which the
    # limit on rows bounds; without it, a run of eight ImageNet-size rows takes 1.7 times as long.
    return options


def _first_line(e: Exception) -> str:
    return str(e).strip().partition("\n")[0]
