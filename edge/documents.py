"""What the edge answers besides classifications, and how its requests and problems are documented."""

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from edge.body import IMAGE_FIELD, IMAGE_TYPES
from edge.problems import MEDIA_TYPE, Kind, ProblemDocument
from splitwire.bundle import Bundle

__all__ = [
    "CLASSIFIED",
    "IMAGE_BODIES",
    "TRACE_PARAMETERS",
    "Health",
    "Model",
    "Plan",
    "Ready",
    "Reloaded",
    "model_of",
    "problem_responses",
]

_IMAGE = {"type": "string", "format": "binary", "description": "A JPEG, PNG or WebP file."}

#: An OpenAPI operation's requestBody.
IMAGE_BODIES: dict[str, Any] = {
    "required": True,
    "description": "The image file, in a multipart form or as the body itself.",
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "required": [IMAGE_FIELD], "properties": {IMAGE_FIELD: _IMAGE}}
        },
        **{media_type: {"schema": _IMAGE} for media_type in (*IMAGE_TYPES, "application/octet-stream")},
    },
}

_STRING = {"type": "string"}

#: An OpenAPI operation's parameters: whatever is not valid in them is ignored.
TRACE_PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "What logs call this request, 1 to 64 of A-Z a-z 0-9 . _ - ; without it one is made.",
        "schema": _STRING,
    },
    {
        "name": "traceparent",
        "in": "header",
        "description": "W3C Trace Context; named in logs here and in the cloud.",
        "schema": _STRING,
    },
]

#: An OpenAPI operation's response to an image.
CLASSIFIED: dict[str, Any] = {
    "headers": {
        "Server-Timing": {
            "description": "Milliseconds of each stage (W3C Server Timing).",
            "schema": _STRING,
        },
        "X-Request-Id": {"description": "The request's, or one that was made for it.", "schema": _STRING},
    }
}


@dataclass(frozen=True, slots=True)
class Health:
    """The process is alive."""

    status: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Images are classified. bundle: its digest in hexadecimal. route, reason: as of a classification."""

    status: str
    bundle: str
    clouds: tuple[str, ...]
    route: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Reloaded:
    """result: swapped or unchanged. before, bundle: digests of what was served, and is, in hexadecimal."""

    result: str
    before: str
    bundle: str


@dataclass(frozen=True, slots=True)
class Plan:
    """head and tail run on the edge, body in the cloud; layers by name."""

    front: int
    back: int
    head: tuple[str, ...]
    body: tuple[str, ...]
    tail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """The bundle's manifest, as far as a client may care. digest: in hexadecimal."""

    name: str
    digest: str
    model: dict[str, Any]
    labels: tuple[str, ...]
    plan: Plan
    uplink: dict[str, Any]
    downlink: dict[str, Any]
    preprocess: dict[str, Any]
    metrics: dict[str, Any]
    versions: dict[str, Any]


def model_of(bundle: Bundle) -> Model:
    manifest = bundle.manifest
    plan = manifest.plan
    return Model(
        name=manifest.name,
        digest=bundle.digest.hex(),
        model=dict(manifest.model),
        labels=manifest.labels,
        plan=Plan(plan.front, plan.back, plan.head, plan.body, plan.tail),
        uplink=manifest.uplink.to_json(),
        downlink=manifest.downlink.to_json(),
        preprocess=manifest.preprocess.to_json(),
        metrics=dict(manifest.metrics),
        versions=dict(manifest.versions),
    )


def problem_responses(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses: one for each status, naming the problems that have it."""
    titles: dict[int | str, list[str]] = {}
    for kind in kinds:
        titles.setdefault(kind.status, []).append(f"{kind.title} (`{kind.type}`)")
    content = {MEDIA_TYPE: {"schema": TypeAdapter(ProblemDocument).json_schema()}}
    return {
        status: {"description": "; ".join(texts) + ".", "content": content}
        for status, texts in titles.items()
    }
