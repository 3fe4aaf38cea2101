import dataclasses
import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitwire.errors import ManifestError
from splitwire.manifest import (
    FORMAT_VERSION,
    MAX_MANIFEST_BYTES,
    FileDigest,
    Manifest,
    claims_to_be_manifest,
)
from splitwire.plan import FLOAT_BITS, BoundarySpec, SplitPlan
from splitwire.preprocess import Preprocess
from tests.kernel.refusal import result_or_refusal

LABELS = ("cat", "dog", "Brötchen \U0001f956")
DIGEST = FileDigest("0123456789abcdef" * 4, 1234)


def manifest(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "name": "tiny",
        "model": {"architecture": "mobilenet_v2", "width": 0.5, "input_size": 32, "num_classes": 3},
        "labels": LABELS,
        "preprocess": Preprocess(32, 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        "plan": SplitPlan(3, 1),
        "uplink": BoundarySpec((16, 16, 16), 1.0, 3, 3),
        "downlink": BoundarySpec((1280,), 0.3, 4, 0),
        "files": dict.fromkeys(("head.onnx", "body.onnx", "tail.onnx"), DIGEST),
        "metrics": {"accuracy": 0.87},
        "versions": {"splitwire": "0.1.0"},
    }
    return Manifest(**fields | changes)


def without_tail(**changes: Any) -> Manifest:
    fields = {
        "plan": SplitPlan(3, 0),
        "downlink": BoundarySpec((3,), 1.0, FLOAT_BITS, 0),
        "files": {"head.onnx": DIGEST, "body.onnx": DIGEST},
    }
    return manifest(**fields | changes)


def edited(**changes: Any) -> bytes:
    value: dict[str, Any] = json.loads(manifest().to_bytes())
    return json.dumps(value | changes).encode()


def test_bytes_and_back() -> None:
    for m in (manifest(), without_tail()):
        assert Manifest.from_bytes(m.to_bytes()) == m
        assert m.to_bytes().endswith(b"}\n")
        assert m.format_version == FORMAT_VERSION


def test_numbers_share_a_line_and_strings_stay_what_they_are() -> None:
    labels = ("[\n 1,\n 2\n]", "[1, 2]", "plain")
    m = manifest(labels=labels, metrics={"sizes": [1, -2.5, 1e-09], "none": [], "mixed": [1, "1"]})
    assert Manifest.from_bytes(m.to_bytes()) == m
    assert b'"sizes": [1, -2.5, 1e-09]' in m.to_bytes()


def test_a_manifest_of_version_1_is_read() -> None:
    m = Manifest.from_bytes(edited(format_version=1))
    assert m == manifest(format_version=1)
    assert m.uplink.tables is None


def test_equal_manifests_have_equal_bytes() -> None:
    files = dict(reversed(list(manifest().files.items())))
    model = dict(reversed(list(manifest().model.items())))
    assert manifest(files=files, model=model).to_bytes() == manifest().to_bytes()


def test_roles() -> None:
    assert manifest().roles == ("head", "body", "tail")
    assert without_tail().roles == ("head", "body")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format_version": 4}, "format_version"),
        ({"format_version": True}, "format_version"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"labels": ()}, "labels"),
        ({"labels": ("a", "b", 3)}, "labels"),
        ({"labels": ("a", "b")}, "num_classes"),
        ({"labels": ("a", "b", "\ud800")}, "labels"),
        ({"model": []}, "model"),
        ({"model": {}}, "input_size"),
        ({"model": {"input_size": 64, "num_classes": 3}}, "input_size"),
        ({"metrics": 3}, "metrics"),
        ({"files": {}}, "names in files"),
        ({"files": {"head.onnx": DIGEST, "body.onnx": DIGEST}}, "names in files"),
        ({"plan": SplitPlan(3, 0)}, "names in files"),
        ({"files": {**manifest().files, "../../etc/passwd": DIGEST}}, "names in files"),
        ({"files": {**manifest().files, "readme.txt": DIGEST}}, "names in files"),
    ],
    ids=str,
)
def test_impossible_manifests(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ManifestError, match=why):
        manifest(**changes)


@pytest.mark.parametrize("downlink", [BoundarySpec((3,), 1.0, 8, 0), BoundarySpec((4,), 1.0, FLOAT_BITS, 0)])
def test_without_a_tail_the_downlink_is_the_logits(downlink: BoundarySpec) -> None:
    with pytest.raises(ManifestError, match="downlink"):
        without_tail(downlink=downlink)


@pytest.mark.parametrize(
    "sha256", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, None, 5], ids=lambda s: str(s)[:4]
)
def test_a_digest_is_64_digits(sha256: Any) -> None:
    with pytest.raises(ManifestError, match="sha256"):
        FileDigest(sha256, 1)


@pytest.mark.parametrize("size", [-1, 1.0, True, None, "1"])
def test_a_size_is_an_integer(size: Any) -> None:
    with pytest.raises(ManifestError, match="bytes"):
        FileDigest("0" * 64, size)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: 2j}, "\ud800"])
def test_what_json_cannot_hold_is_not_written(value: Any) -> None:
    with pytest.raises(ManifestError, match="JSON"):
        manifest(metrics={"x": value}).to_bytes()


TEXT = manifest().to_bytes().decode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"\xff\xfe{}", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"9" * 5000, "cannot be read"),
        (b"null", "exactly"),
        (b"[]", "exactly"),
        (b"{}", "exactly"),
        (edited(extra=1), "exactly"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "at most"),
        (TEXT.replace("0.87", "NaN").encode(), "NaN"),
        (TEXT.replace("0.87", "-Infinity").encode(), "-Infinity"),
        (TEXT.replace("0.87", "1e999").encode(), "1e999"),
        (TEXT.replace('"name"', '"name": "other", "name"').encode(), "twice"),
        (TEXT.replace('"accuracy"', '"accuracy": 1, "accuracy"').encode(), "twice"),
        (edited(format_version=4), "format_version"),
        (edited(format_version="1"), "format_version"),
        (edited(labels="abc"), "labels"),
        (edited(labels=None), "labels"),
        (edited(plan={"front": 19, "back": 19}), "plan"),
        (edited(plan=[3, 1]), "plan"),
        (edited(uplink={}), "uplink"),
        (edited(uplink={"shape": [1 << 40] * 3, "keep": 1.0, "bits": 3, "zero": 0}), "uplink"),
        (edited(downlink={"shape": 5, "keep": 1.0, "bits": 3, "zero": 0}), "downlink"),
        (edited(preprocess={"size": 32}), "preprocess"),
        (edited(files=[]), "files"),
        (edited(files={"head.onnx": "0" * 64}), "files"),
        (edited(files={"head.onnx": {"sha256": "0" * 64}}), "files"),
        (edited(files={"../head.onnx": {"sha256": "0" * 64, "bytes": 1}}), "files"),
        (edited(model="x"), "model"),
    ],
    ids=lambda x: repr(x)[:30],
)
def test_what_is_no_manifest(data: bytes, why: str) -> None:
    with pytest.raises(ManifestError, match=why):
        Manifest.from_bytes(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from([f.name for f in dataclasses.fields(Manifest)]), JSON)
def test_any_value_of_any_field(field: str, value: object) -> None:
    m, error = result_or_refusal(lambda: Manifest.from_bytes(edited(**{field: value})))
    assert Manifest.from_bytes(m.to_bytes()) == m if m else type(error) is ManifestError


def test_truncation_and_flips_of_every_byte() -> None:
    data = manifest().to_bytes()
    broken = [data[:i] for i in range(len(data) - 1)]
    broken += [
        data[:i] + bytes([data[i] ^ flip]) + data[i + 1 :] for i in range(len(data)) for flip in (1, 128)
    ]
    for candidate in broken:
        m, error = result_or_refusal(partial(Manifest.from_bytes, candidate))
        assert m or type(error) is ManifestError


def test_what_claims_to_be_a_manifest() -> None:
    """Also one of a newer format, or one that contradicts itself."""
    assert claims_to_be_manifest(manifest().to_bytes())
    assert claims_to_be_manifest(edited(format_version=99, labels=[], added="later"))


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b'{"name": "my app", "format_version": 2}', b" " * (1 << 21)]
)
def test_what_does_not(data: bytes) -> None:
    assert not claims_to_be_manifest(data)
