"""The artifact: a folder of manifest.json and one graph for each partition. docs/bundle-format.md."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from splitwire.destination import write_folder
from splitwire.engine import Engine
from splitwire.errors import BundleError, BundleNotFound, FileDigestMismatch, GraphError, ManifestError
from splitwire.manifest import FORMAT_VERSION, MANIFEST, MAX_MANIFEST_BYTES, FileDigest, Manifest
from splitwire.plan import BoundarySpec, SplitPlan
from splitwire.preprocess import Preprocess

__all__ = [
    "DIGEST_BYTES",
    "FORMAT_VERSION",
    "Bundle",
    "FileDigest",
    "Manifest",
    "save_bundle",
]

#: How much of the manifest's SHA-256 names a bundle on the wire.
DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle. digest: the first 8 bytes of the SHA-256 of its manifest.json."""

    path: Path
    manifest: Manifest
    digest: bytes

    @classmethod
    def load(cls, path: Path | str) -> "Bundle":
        """Reads the manifest and verifies every file's size and SHA-256.

        Raises:
            BundleNotFound: no folder with a manifest.json there.
            ManifestError: the manifest cannot be read, or says something impossible.
            FileDigestMismatch: a graph is missing, leads out of the folder, or is another one.
        """
        path = Path(path)
        data = _read_manifest(path)
        manifest = Manifest.from_bytes(data)
        for name, expected in manifest.files.items():
            _verify(path, name, expected)
        return cls(path, manifest, hashlib.sha256(data).digest()[:DIGEST_BYTES])

    def graph(self, role: str) -> Path:
        """The file of "head", "body" or "tail".

        Raises:
            BundleNotFound: the bundle has no such graph.
        """
        if role not in self.manifest.roles:
            raise BundleNotFound(f"{self.manifest.name} has no {role}, only {', '.join(self.manifest.roles)}")
        return self.path / f"{role}.onnx"

    def engine(self, role: str, *, threads: int = 1) -> Engine:
        """The graph of `role`, loaded, and checked against the manifest.

        Verified once more: the folder may hold another bundle by now, which must not answer for this one.

        Raises:
            FileDigestMismatch: the file is not the manifest's any more.
            GraphError: it cannot be loaded, or does not fit the manifest.
        """
        graph = self.graph(role)
        engine = Engine(
            _read_verified(graph, self.manifest.files[graph.name]), name=graph.name, threads=threads
        )
        _check_contract(role, engine, self.manifest)
        return engine


def save_bundle(
    path: Path | str,
    *,
    name: str,
    model: Mapping[str, Any],
    labels: tuple[str, ...],
    preprocess: Preprocess,
    plan: SplitPlan,
    uplink: BoundarySpec,
    downlink: BoundarySpec,
    graphs: Mapping[str, bytes],
    metrics: Mapping[str, Any],
    versions: Mapping[str, Any],
) -> Bundle:
    """Checks everything, writes a bundle beside `path`, and moves it there; replaces a bundle, nothing else.

    graphs: the .onnx bytes of "head", "body" and, unless plan.back is 0, "tail".

    Raises:
        ManifestError: the fields are impossible or contradict each other.
        GraphError: a graph does not load, run, or fit them.
        BundleError: `path` is taken by something else, or cannot be written. What was there still is.
    """
    manifest = Manifest(
        name=name,
        model=model,
        labels=labels,
        preprocess=preprocess,
        plan=plan,
        uplink=uplink,
        downlink=downlink,
        files={f"{role}.onnx": _digest(graph) for role, graph in graphs.items()},
        metrics=metrics,
        versions=versions,
    )
    content = manifest.to_bytes()
    Manifest.from_bytes(content)  # what cannot be read back must not be written
    for role, graph in graphs.items():
        engine = Engine(graph)
        _check_contract(role, engine, manifest)
        engine.warm_up()
    files = {f"{role}.onnx": graph for role, graph in graphs.items()} | {MANIFEST: content}
    target = Path(path).resolve()
    try:
        write_folder(target, files)
    except OSError as e:
        raise BundleError(f"cannot write the bundle {target}: {e}") from e
    return Bundle.load(target)


def _check_contract(role: str, engine: Engine, manifest: Manifest) -> None:
    image = ((3, manifest.preprocess.size, manifest.preprocess.size), np.dtype(np.float32))
    uplink = (manifest.uplink.shape, manifest.uplink.dtype)
    downlink = (manifest.downlink.shape, manifest.downlink.dtype)
    logits = ((len(manifest.labels),), np.dtype(np.float32))
    contract = {"head": (image, uplink), "body": (uplink, downlink), "tail": (downlink, logits)}[role]
    found = ((engine.input_shape, engine.input_dtype), (engine.output_shape, engine.output_dtype))
    for side, is_, must in zip(("input", "output"), found, contract, strict=True):
        if is_ != must:
            raise GraphError(f"the {role}'s {side} must be {must[1]} {must[0]} a row, is {is_[1]} {is_[0]}")


def _read_manifest(path: Path) -> bytes:
    file = path / MANIFEST
    try:
        if not file.is_file():
            raise BundleNotFound(f"no bundle at {path}: there is no {MANIFEST}")
        with file.open("rb") as stream:
            return stream.read(MAX_MANIFEST_BYTES + 1)
    except OSError as e:
        raise ManifestError(f"{file} cannot be read: {e}") from e


def _verify(folder: Path, name: str, expected: FileDigest) -> None:
    try:
        file = (folder / name).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            raise FileDigestMismatch(f"{name} is missing from {folder}, or is no file inside it")
        size = file.stat().st_size
        if size != expected.bytes:
            raise FileDigestMismatch(f"{name} has {size} bytes, the manifest says {expected.bytes}")
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, RuntimeError) as e:  # RuntimeError: links in a circle
        raise FileDigestMismatch(f"{name} cannot be read: {e}") from e
    if sha256 != expected.sha256:
        raise FileDigestMismatch(f"{name} is not the file that the manifest names: {folder} has another")


def _read_verified(file: Path, expected: FileDigest) -> bytes:
    try:
        data = file.read_bytes()
    except OSError as e:
        raise FileDigestMismatch(f"{file.name} cannot be read: {e}") from e
    if _digest(data) != expected:
        raise FileDigestMismatch(
            f"{file.name} is not the file that the manifest names: {file.parent} has another"
        )
    return data


def _digest(data: bytes) -> FileDigest:
    return FileDigest(hashlib.sha256(data).hexdigest(), len(data))
