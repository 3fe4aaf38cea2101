"""From a trained network to a bundle: three ONNX graphs and what the manifest says of them."""

import platform
import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import onnx
import torch
from torch import nn

import splitwire
from splitwire.bundle import Bundle, save_bundle
from splitwire.preprocess import Preprocess
from trainer.network import SplitNetwork

__all__ = ["export_bundle", "export_graph", "export_graphs"]

_OPSET = 17


def export_bundle(
    path: Path,
    network: SplitNetwork,
    *,
    labels: tuple[str, ...],
    preprocess: Preprocess,
    metrics: Mapping[str, object],
    name: str,
) -> Bundle:
    """Writes `network` as the bundle at `path`, whole or not at all, and returns it.

    labels: of the classes, in order. preprocess: what its images went through.
    metrics: measured accuracy and bytes, and whatever else the manifest should say of the run.

    Raises:
        BundleError: the graphs break the bundle's contract, or the folder cannot be written.
    """
    return save_bundle(
        path,
        name=name,
        model=network.model_spec.to_json(),
        labels=labels,
        preprocess=preprocess,
        plan=network.plan,
        uplink=network.uplink.spec,
        downlink=network.downlink.spec,
        metrics=dict(metrics),
        versions=_versions(),
        graphs=export_graphs(network),
    )


def export_graphs(network: SplitNetwork) -> dict[str, bytes]:
    """ONNX bytes of head, body and, where there is one, tail; the network ends on the CPU, in float32."""
    network.cpu().eval()
    network.set_bf16(False)
    size = network.model_spec.input_size
    example = torch.zeros(2, 3, size, size)
    graphs: dict[str, bytes] = {}
    for name, graph in network.graphs().items():
        graph.eval()
        graphs[name] = export_graph(graph, example)
        with torch.no_grad():
            example = graph(example)
    return graphs


def export_graph(graph: nn.Module, example: torch.Tensor) -> bytes:
    """One graph with `input` and `output`, whose first dimension `rows` is free.

    By torch's TorchScript exporter: it folds BatchNorm into the convolutions and takes a tenth of the
    time of the torch.export one, which leaves BatchNorm in. It is deprecated: see docs/decisions.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        file = Path(folder) / "graph.onnx"
        torch.onnx.export(
            graph,
            (example,),
            file,
            dynamo=False,
            opset_version=_OPSET,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "rows"}, "output": {0: "rows"}},
        )
        content = file.read_bytes()
    onnx.checker.check_model(content)
    return content


def _versions() -> dict[str, str]:
    return {
        "splitwire": splitwire.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": version("onnxruntime"),
    }
