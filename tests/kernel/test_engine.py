import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from splitwire.engine import Engine
from splitwire.errors import GraphError
from tests.kernel.graphs import FLOAT, INT64, UINT8, Value, graph, partition

MEAN = partition((FLOAT, (3, 4, 4)), (FLOAT, (2,)))
ROWS: tuple[int | str | None, ...] = ("rows", 3)


def identity(inputs: Value, outputs: Value) -> bytes:
    return graph([helper.make_node("Identity", [inputs[0]], [outputs[0]])], [inputs], [outputs])


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("threads", [1, 2])
def test_runs_any_number_of_rows(rows: int, threads: int) -> None:
    engine = Engine(MEAN, threads=threads)
    x = np.random.default_rng(0).normal(size=(rows, 3, 4, 4)).astype(np.float32)
    y = engine.run(x)
    assert y.shape == (rows, 2)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y[:, 1], x.mean((1, 2, 3)), rtol=1e-5, atol=1e-6)


def test_says_what_it_takes_and_gives() -> None:
    engine = Engine(partition((UINT8, (5,)), (UINT8, (2, 3, 3))))
    assert engine.input_shape == (5,)
    assert engine.output_shape == (2, 3, 3)
    assert engine.input_dtype == engine.output_dtype == np.dtype(np.uint8)
    engine.warm_up()


def test_loads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "head.onnx"
    path.write_bytes(MEAN)
    Engine(path).warm_up()


def test_runs_in_several_threads_at_once() -> None:
    engine = Engine(MEAN)
    wrong: list[float] = []

    def work(value: float) -> None:
        x = np.full((2, 3, 4, 4), value, np.float32)
        if any((engine.run(x) != value).any() for _ in range(100)):
            wrong.append(value)

    threads = [threading.Thread(target=work, args=(float(value),)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((0, 3, 4, 4), np.float32),
        np.zeros((3, 4, 4), np.float32),
        np.zeros((1, 3, 4, 5), np.float32),
        np.zeros((1, 3, 4, 4), np.float64),
        np.zeros((1, 3, 4, 4), np.uint8),
        np.zeros((), np.float32),
    ],
)
def test_input_of_another_form(x: np.ndarray[Any, Any]) -> None:
    with pytest.raises(GraphError, match=r"takes float32 \(rows, \*\(3, 4, 4\)\)"):
        Engine(MEAN).run(x)


@pytest.mark.parametrize("data", [b"", b"not a graph", MEAN[: len(MEAN) // 2], MEAN[:-1]])
def test_bytes_that_are_no_graph(data: bytes) -> None:
    with pytest.raises(GraphError, match="cannot be loaded"):
        Engine(data)


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    """No digest covers them. A model that was read from a path would otherwise find them beside it."""
    onnx.save_model(
        onnx.load_model_from_string(MEAN),
        tmp_path / "head.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    assert (tmp_path / "weights.bin").is_file()
    with pytest.raises(GraphError, match="cannot be loaded"):
        Engine(tmp_path / "head.onnx")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"tail\.onnx cannot be loaded"):
        Engine(tmp_path / "tail.onnx")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (identity(("x", FLOAT, ROWS), ("output", FLOAT, ROWS)), "one input named 'input'"),
        (identity(("input", FLOAT, ROWS), ("y", FLOAT, ROWS)), "one output named 'output'"),
        (identity(("input", FLOAT, ["batch", 3]), ("output", FLOAT, ["batch", 3])), "rows, fixed"),
        (identity(("input", FLOAT, [1, 3]), ("output", FLOAT, [1, 3])), "rows, fixed"),
        (identity(("input", FLOAT, ["rows", "h"]), ("output", FLOAT, ["rows", "h"])), "rows, fixed"),
        (identity(("input", FLOAT, []), ("output", FLOAT, [])), "rows, fixed"),
        (identity(("input", INT64, ROWS), ("output", INT64, ROWS)), "float32 or uint8"),
        (
            graph(
                [helper.make_node("Add", ["input", "other"], ["output"])],
                [("input", FLOAT, ROWS), ("other", FLOAT, ROWS)],
                [("output", FLOAT, ROWS)],
            ),
            "one input",
        ),
    ],
)
def test_graphs_that_break_the_contract(data: bytes, why: str) -> None:
    with pytest.raises(GraphError, match=why):
        Engine(data)


def test_a_graph_that_does_not_give_what_it_declares() -> None:
    """Tile makes two rows of one, whatever the output's declaration says."""
    data = graph(
        [helper.make_node("Tile", ["input", "repeats"], ["output"])],
        [("input", FLOAT, ROWS)],
        [("output", FLOAT, ROWS)],
        repeats=np.array([2, 1], np.int64),
    )
    with pytest.raises(GraphError, match=r"gave \(2, 3\) for 1 rows"):
        Engine(data).warm_up()


def test_a_graph_that_fails_when_run() -> None:
    data = graph(
        [helper.make_node("Reshape", ["input", "shape"], ["output"])],
        [("input", FLOAT, ROWS)],
        [("output", FLOAT, ROWS)],
        shape=np.array([-1, 7], np.int64),
    )
    with pytest.raises(GraphError):
        Engine(data).warm_up()
