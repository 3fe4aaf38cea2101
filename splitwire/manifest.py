"""A bundle's manifest: what the graphs are, and what they were made for. docs/bundle-format.md."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from splitwire.errors import ConfigError, ManifestError, PlanError
from splitwire.plan import BoundarySpec, SplitPlan
from splitwire.preprocess import Preprocess

__all__ = [
    "BUNDLE_FILES",
    "FORMAT_VERSION",
    "MANIFEST",
    "MAX_MANIFEST_BYTES",
    "FileDigest",
    "Manifest",
    "claims_to_be_manifest",
]

#: Version 2 brought a boundary's tables, version 3 their predictor; manifests without are read as well.
FORMAT_VERSION = 3
_VERSIONS = (1, 2, FORMAT_VERSION)

#: In a bundle's folder.
MANIFEST = "manifest.json"

#: All that a bundle's folder holds; no tail.onnx where there is no tail.
BUNDLE_FILES = frozenset((MANIFEST, "head.onnx", "body.onnx", "tail.onnx"))

#: Twenty times what a thousand long labels take.
MAX_MANIFEST_BYTES = 1 << 20

#: An array of numbers, as json.dumps indents it; no string can look like it, since in those ends of lines are
#: escaped. Tables have tens of thousands of numbers, whose indentation would be most of the manifest.
_NUMBERS = re.compile(r"\[\n((?: *-?[0-9][0-9.eE+-]*,?\n)+) *\]")

_T = TypeVar("_T")

_HEX = frozenset("0123456789abcdef")

_KEYS = (
    "format_version",
    "name",
    "model",
    "labels",
    "preprocess",
    "plan",
    "uplink",
    "downlink",
    "files",
    "metrics",
    "versions",
)


@dataclass(frozen=True, slots=True)
class FileDigest:
    """sha256: 64 lower-case hexadecimal digits. bytes: the file's size."""

    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        if not isinstance(self.sha256, str) or len(self.sha256) != 64 or set(self.sha256) - _HEX:
            raise ManifestError(f"files: a sha256 has 64 lower-case hexadecimal digits, got {self.sha256!r}")
        if type(self.bytes) is not int or self.bytes < 0:
            raise ManifestError(f"files: bytes must be an integer of at least 0, got {self.bytes!r}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """model: at least input_size (pixels) and num_classes. labels: one per class, in the logits' order.
    files: a FileDigest for each graph, by file name. metrics, versions: for people; any JSON.

    Raises:
        ManifestError: a field is impossible, or two contradict each other.
    """

    name: str
    model: Mapping[str, Any]
    labels: tuple[str, ...]
    preprocess: Preprocess
    plan: SplitPlan
    uplink: BoundarySpec
    downlink: BoundarySpec
    files: Mapping[str, FileDigest]
    metrics: Mapping[str, Any]
    versions: Mapping[str, Any]
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.format_version not in _VERSIONS or type(self.format_version) is not int:
            raise ManifestError(f"format_version must be one of {_VERSIONS}, got {self.format_version!r}")
        if not (_is_text(self.name) and 0 < len(self.name) <= 100 and self.name.isprintable()):
            raise ManifestError(f"name must be 1 to 100 printable characters, got {self.name!r}")
        if not self.labels or not all(_is_text(label) for label in self.labels):
            raise ManifestError("labels must be one or more strings of valid Unicode")
        for field in ("model", "metrics", "versions"):
            if not isinstance(getattr(self, field), Mapping):
                raise ManifestError(f"{field} must be an object, got {getattr(self, field)!r}")
        self._check_agreement()

    @property
    def roles(self) -> tuple[str, ...]:
        """The partitions that have a graph."""
        return ("head", "body", "tail") if self.plan.back else ("head", "body")

    def _check_agreement(self) -> None:
        self._expect("model's input_size", self.model.get("input_size"), self.preprocess.size)
        self._expect("model's num_classes", self.model.get("num_classes"), len(self.labels))
        self._expect("names in files", sorted(self.files), sorted(f"{role}.onnx" for role in self.roles))
        if not self.plan.back:
            self._expect("downlink shape", self.downlink.shape, (len(self.labels),))
            self._expect("downlink quantized", self.downlink.quantized, False)

    @staticmethod
    def _expect(what: str, value: object, expected: object) -> None:
        if value != expected:
            raise ManifestError(f"the {what} must be {expected!r}, got {value!r}")

    def to_bytes(self) -> bytes:
        """The content of manifest.json: the same for equal manifests."""
        value = {
            "format_version": self.format_version,
            "name": self.name,
            "model": dict(self.model),
            "labels": list(self.labels),
            "preprocess": self.preprocess.to_json(),
            "plan": self.plan.to_json(),
            "uplink": self.uplink.to_json(),
            "downlink": self.downlink.to_json(),
            "files": {name: {"bytes": f.bytes, "sha256": f.sha256} for name, f in self.files.items()},
            "metrics": dict(self.metrics),
            "versions": dict(self.versions),
        }
        try:
            text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
            return _NUMBERS.sub(_on_one_line, text).encode() + b"\n"
        except (TypeError, ValueError) as e:
            raise ManifestError(f"not expressible in JSON: {e}") from e

    @classmethod
    def from_bytes(cls, data: bytes) -> "Manifest":
        """The inverse of `to_bytes`, for any bytes.

        Raises:
            ManifestError: not a manifest.
        """
        value = _parse(data)
        if not isinstance(value, dict) or set(value) != set(_KEYS):
            raise ManifestError(f"a manifest must be an object with exactly {', '.join(_KEYS)}")
        return cls(
            **value
            | {
                "labels": _labels(value["labels"]),
                "preprocess": _read("preprocess", Preprocess.from_json, value["preprocess"]),
                "plan": _read("plan", SplitPlan.from_json, value["plan"]),
                "uplink": _read("uplink", BoundarySpec.from_json, value["uplink"]),
                "downlink": _read("downlink", BoundarySpec.from_json, value["downlink"]),
                "files": _files(value["files"]),
            }
        )


def claims_to_be_manifest(data: bytes) -> bool:
    """Whether it has a manifest's fields, be they impossible or of a newer format; other programs have files
    of this name, too.
    """
    try:
        value = _parse(data)
    except ManifestError:
        return False
    return isinstance(value, dict) and set(_KEYS) <= set(value)


def _on_one_line(array: re.Match[str]) -> str:
    return "[" + ", ".join(number.strip() for number in array[1].split(",")) + "]"


def _parse(data: bytes) -> Any:
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"a manifest has at most {MAX_MANIFEST_BYTES} bytes")
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as e:
        raise ManifestError(f"the manifest cannot be read: {e}") from e


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ManifestError(f"a key is given twice among {[key for key, _ in pairs][:20]}")
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise ManifestError(f"the manifest holds {text}, which is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ManifestError(f"the manifest holds {text}, which is no finite number")
    return number


def _read(field: str, from_json: Callable[[object], _T], value: object) -> _T:
    try:
        return from_json(value)
    except (PlanError, ConfigError) as e:
        raise ManifestError(f"{field}: {e}") from e


def _labels(value: object) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ManifestError("labels must be a list of strings")
    return tuple(value)


def _files(value: object) -> dict[str, FileDigest]:
    if not isinstance(value, dict):
        raise ManifestError("files must be an object")
    for entry in value.values():
        if not isinstance(entry, dict) or set(entry) != {"bytes", "sha256"}:
            raise ManifestError("files: an entry must be an object with exactly bytes and sha256")
    return {name: FileDigest(**entry) for name, entry in value.items()}


def _is_text(value: object) -> bool:
    """JSON can escape half a surrogate pair, which no UTF-8 can hold."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)
