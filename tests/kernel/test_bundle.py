import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splitwire import destination
from splitwire.bundle import Bundle, FileDigest, save_bundle
from splitwire.errors import BundleError, BundleNotFound, FileDigestMismatch, GraphError, ManifestError
from splitwire.plan import FLOAT_BITS, BoundarySpec, SplitPlan
from tests.bundles import tiny_bundle as make_bundle
from tests.kernel.graphs import FLOAT, UINT8, partition
from tests.kernel.refusal import result_or_refusal


@pytest.fixture
def folder(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(tiny_bundle.path, tmp_path / "bundle"))


def fields(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    m = bundle.manifest
    names = ("name", "model", "labels", "preprocess", "plan", "uplink", "downlink", "metrics", "versions")
    graphs = {role: bundle.graph(role).read_bytes() for role in m.roles}
    return {name: getattr(m, name) for name in names} | {"graphs": graphs} | changes


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Saving and loading


def test_saved_is_loaded(tiny_bundle: Bundle, tmp_path: Path) -> None:
    saved = save_bundle(tmp_path / "new" / "b", **fields(tiny_bundle))
    assert Bundle.load(tmp_path / "new" / "b") == saved
    assert Bundle.load(str(saved.path)) == saved
    assert saved.manifest == tiny_bundle.manifest
    assert listing(saved.path) == ["body.onnx", "head.onnx", "manifest.json", "tail.onnx"]
    assert listing(tmp_path / "new") == ["b"]


def test_digest_is_of_the_manifest(tiny_bundle: Bundle) -> None:
    data = (tiny_bundle.path / "manifest.json").read_bytes()
    assert tiny_bundle.digest == hashlib.sha256(data).digest()[:8]


def test_equal_bundles_are_equal_bytes(tiny_bundle: Bundle, tmp_path: Path) -> None:
    again = save_bundle(tmp_path / "again", **fields(tiny_bundle))
    assert again.digest == tiny_bundle.digest


def test_the_smallest_change_is_another_digest(tiny_bundle: Bundle, tmp_path: Path) -> None:
    other = save_bundle(tmp_path / "other", **fields(tiny_bundle, metrics={"accuracy": 0.5}))
    assert other.digest != tiny_bundle.digest


def test_the_folder_and_its_files_have_ordinary_permissions(tiny_bundle: Bundle, tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        saved = save_bundle(tmp_path / "b", **fields(tiny_bundle))
    finally:
        os.umask(mask)
    assert saved.path.stat().st_mode & 0o777 == 0o755
    assert saved.graph("head").stat().st_mode & 0o777 == 0o644


def test_engines_run_from_image_to_logits(tiny_bundle: Bundle) -> None:
    m = tiny_bundle.manifest
    x = np.random.default_rng(0).normal(size=(3, 3, m.preprocess.size, m.preprocess.size)).astype(np.float32)
    for role in m.roles:
        x = tiny_bundle.engine(role).run(x)
    assert x.shape == (3, len(m.labels))


def test_without_a_tail(tiny_bundle: Bundle, tmp_path: Path) -> None:
    logits = BoundarySpec((len(tiny_bundle.manifest.labels),), 1.0, FLOAT_BITS, 0)
    graphs = {
        "head": tiny_bundle.graph("head").read_bytes(),
        "body": partition((UINT8, tiny_bundle.manifest.uplink.shape), (FLOAT, logits.shape)),
    }
    saved = save_bundle(
        tmp_path / "b", **fields(tiny_bundle, plan=SplitPlan(3, 0), downlink=logits, graphs=graphs)
    )
    assert listing(saved.path) == ["body.onnx", "head.onnx", "manifest.json"]
    with pytest.raises(BundleNotFound, match="no tail"):
        saved.graph("tail")


@pytest.mark.parametrize("role", ["", "Head", "../head", "manifest"])
def test_other_roles(tiny_bundle: Bundle, role: str) -> None:
    with pytest.raises(BundleNotFound):
        tiny_bundle.graph(role)


# What is not written


def test_a_bad_bundle_is_never_written(tiny_bundle: Bundle, tmp_path: Path) -> None:
    good = fields(tiny_bundle)["graphs"]
    image, uplink = (3, 16, 16), (8, 8, 8)
    bad: dict[str, dict[str, bytes]] = {
        "no graph": {"head": b"junk"},
        "input shape": {"head": partition((FLOAT, (3, 8, 8)), (UINT8, uplink))},
        "input dtype": {"head": partition((UINT8, image), (UINT8, uplink))},
        "output shape": {"head": partition((FLOAT, image), (UINT8, (8, 8, 4)))},
        "output dtype": {"head": partition((FLOAT, image), (FLOAT, uplink))},
        "body": {"body": partition((UINT8, uplink), (UINT8, (17,)))},
        "tail": {"tail": partition((UINT8, (16,)), (FLOAT, (9,)))},
        "swapped": {"head": good["tail"], "tail": good["head"]},
    }
    for name, graphs in bad.items():
        with pytest.raises(GraphError):
            save_bundle(tmp_path / "b", **fields(tiny_bundle, graphs=good | graphs))
        assert listing(tmp_path) == [], name


@pytest.mark.parametrize("roles", [("head", "body"), ("head", "tail"), ("head", "body", "tail", "neck"), ()])
def test_graphs_are_those_of_the_plan(tiny_bundle: Bundle, tmp_path: Path, roles: tuple[str, ...]) -> None:
    graph = tiny_bundle.graph("head").read_bytes()
    with pytest.raises(ManifestError, match="files"):
        save_bundle(tmp_path / "b", **fields(tiny_bundle, graphs=dict.fromkeys(roles, graph)))
    assert listing(tmp_path) == []


def test_a_manifest_that_could_not_be_read_is_not_written(tiny_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ManifestError):
        save_bundle(tmp_path / "b", **fields(tiny_bundle, metrics={"loss": float("nan")}))
    with pytest.raises(ManifestError):
        save_bundle(tmp_path / "b", **fields(tiny_bundle, metrics={"curve": "x" * (1 << 20)}))
    assert listing(tmp_path) == []


# Replacing


@pytest.mark.parametrize("exchange", [True, False])
def test_replacing(
    tiny_bundle: Bundle, folder: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(destination, "_exchange", lambda *_: False)
    saved = save_bundle(folder, **fields(tiny_bundle, name="second"))
    assert Bundle.load(folder) == saved
    assert saved.manifest.name == "second"
    assert listing(folder) == ["body.onnx", "head.onnx", "manifest.json", "tail.onnx"]
    assert listing(folder.parent) == ["bundle"]


def test_an_empty_folder_is_replaced(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert save_bundle(tmp_path / "b", **fields(tiny_bundle)).digest == tiny_bundle.digest


def test_through_a_link_the_bundle_is_replaced_not_the_link(tiny_bundle: Bundle, folder: Path) -> None:
    link = folder.parent / "current"
    link.symlink_to("bundle")
    save_bundle(link, **fields(tiny_bundle, name="second"))
    assert link.is_symlink()
    assert Bundle.load(folder).manifest.name == Bundle.load(link).manifest.name == "second"


@pytest.mark.parametrize("failing", ["write", "sync", "exchange", "rename"])
@pytest.mark.parametrize("replacing", [True, False])
def test_a_failure_leaves_what_was_there(
    tiny_bundle: Bundle, folder: Path, monkeypatch: pytest.MonkeyPatch, failing: str, replacing: bool
) -> None:
    """The disk is full: nothing half-written, nothing lost."""
    if not replacing:
        shutil.rmtree(folder)
    before = listing(folder.parent)
    _break(monkeypatch, failing)
    if failing == "exchange" and not replacing:
        save_bundle(folder, **fields(tiny_bundle, name="second"))
        return
    with pytest.raises(BundleError, match="No space left"):
        save_bundle(folder, **fields(tiny_bundle, name="second"))
    assert listing(folder.parent) == before
    if replacing:
        assert Bundle.load(folder).digest == tiny_bundle.digest


def _break(monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(*args: Any) -> Any:
        raise full

    if failing == "write":
        write = destination._write_file
        monkeypatch.setattr(
            destination, "_write_file", lambda p, d: fail() if p.name == "tail.onnx" else write(p, d)
        )
    elif failing == "sync":
        monkeypatch.setattr(os, "fsync", fail)
    elif failing == "exchange":
        monkeypatch.setattr(destination, "_exchange", fail)
    else:
        rename = Path.rename
        monkeypatch.setattr(destination, "_exchange", lambda *_: False)
        monkeypatch.setattr(
            Path,
            "rename",
            lambda s, t: fail() if s.name.startswith(".") and s.suffix != ".old" else rename(s, t),
        )


def test_a_folder_that_cannot_be_written(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot write"):
        save_bundle(tmp_path / "file" / "b", **fields(tiny_bundle))


# What is not loaded


@pytest.mark.parametrize("make", [Path.exists, Path.mkdir, Path.touch])
def test_no_bundle_there(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "b")
    with pytest.raises(BundleNotFound, match=r"manifest\.json"):
        Bundle.load(tmp_path / "b")


def test_a_bundle_without_its_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(BundleNotFound):
        Bundle.load(folder)


def test_a_manifest_of_gigabytes_is_not_read(folder: Path) -> None:
    with (folder / "manifest.json").open("wb") as stream:
        stream.truncate(1 << 34)
    with pytest.raises(ManifestError, match="at most"):
        Bundle.load(folder)


@pytest.mark.parametrize("role", ["head", "body", "tail"])
@pytest.mark.parametrize("damage", ["missing", "empty", "shorter", "longer", "flipped", "folder", "pipe"])
def test_a_graph_that_is_not_the_manifests(folder: Path, role: str, damage: str) -> None:
    path = folder / f"{role}.onnx"
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "pipe":
        os.mkfifo(path)
    elif damage != "missing":
        flipped = data[:50] + bytes([data[50] ^ 1]) + data[51:]
        contents = {"empty": b"", "shorter": data[:-1], "longer": data + b"\0", "flipped": flipped}
        path.write_bytes(contents[damage])
    with pytest.raises(FileDigestMismatch, match=f"{role}.onnx"):
        Bundle.load(folder)


def test_flips_of_every_byte_of_a_graph(folder: Path) -> None:
    path = folder / "tail.onnx"
    data = path.read_bytes()
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ 0x40]) + data[i + 1 :])
        with pytest.raises(FileDigestMismatch):
            Bundle.load(folder)


def test_flips_of_every_byte_of_the_manifest(folder: Path, tiny_bundle: Bundle) -> None:
    """Refused, or, where only words for people changed, another digest."""
    path = folder / "manifest.json"
    data = path.read_bytes()
    expected = (ManifestError, FileDigestMismatch)
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ 0x01]) + data[i + 1 :])
        loaded, error = result_or_refusal(lambda: Bundle.load(folder))
        assert loaded.digest != tiny_bundle.digest if loaded else type(error) in expected


@pytest.mark.parametrize("name", ["../outside.onnx", "/etc/passwd", "sub/../../outside.onnx", "head.onnx\0"])
def test_names_that_lead_out(folder: Path, name: str) -> None:
    (folder.parent / "outside.onnx").write_bytes((folder / "head.onnx").read_bytes())
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("head.onnx", name.replace("\0", "\\u0000")))
    with pytest.raises(ManifestError, match="names in files"):
        Bundle.load(folder)


def test_links_that_lead_out(folder: Path) -> None:
    outside = folder.parent / "outside.onnx"
    (folder / "head.onnx").rename(outside)
    (folder / "head.onnx").symlink_to(outside)
    with pytest.raises(FileDigestMismatch, match="inside"):
        Bundle.load(folder)


def test_links_within_are_followed(folder: Path, tiny_bundle: Bundle) -> None:
    """Some deployments mount a folder as links to a version of it."""
    (folder / "v1").mkdir()
    for name in ("head.onnx", "manifest.json"):
        (folder / name).rename(folder / "v1" / name)
        (folder / name).symlink_to(folder / "v1" / name)
    assert Bundle.load(folder).digest == tiny_bundle.digest


def test_links_in_a_circle(folder: Path) -> None:
    (folder / "head.onnx").unlink()
    (folder / "head.onnx").symlink_to("head.onnx")
    with pytest.raises(FileDigestMismatch):
        Bundle.load(folder)


def test_an_engine_is_checked_against_the_manifest(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """A bundle that another writer made."""
    made = make_bundle(tmp_path / "b")
    body = made.graph("body").read_bytes()
    made.graph("tail").write_bytes(body)
    files = {**made.manifest.files, "tail.onnx": made.manifest.files["body.onnx"]}
    forged = replace(made, manifest=replace(made.manifest, files=files))
    with pytest.raises(GraphError, match="the tail's input"):
        forged.engine("tail")


def test_a_graph_that_was_exchanged_after_loading_is_not_taken(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """As a folder's is that is replaced meanwhile: it fits, but answers otherwise."""
    made = make_bundle(tmp_path / "b")
    other = make_bundle(tmp_path / "other", seed=1)
    made.graph("tail").write_bytes(other.graph("tail").read_bytes())
    with pytest.raises(FileDigestMismatch, match=r"tail\.onnx is not the file"):
        made.engine("tail")
    made.graph("tail").unlink()
    with pytest.raises(FileDigestMismatch, match=r"tail\.onnx cannot be read"):
        made.engine("tail")
    made.engine("head").warm_up()


def test_an_engine_that_cannot_be_loaded_is_named(tiny_bundle: Bundle, tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "b")
    made.graph("tail").write_bytes(b"junk")
    junk = FileDigest(hashlib.sha256(b"junk").hexdigest(), 4)
    forged = replace(made, manifest=replace(made.manifest, files={**made.manifest.files, "tail.onnx": junk}))
    with pytest.raises(GraphError, match=r"tail\.onnx cannot be loaded"):
        forged.engine("tail")
