"""The demo's table: one row for each image, classified over REST."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["Outcome", "classify", "format_table"]

_TIMEOUT_SECONDS = 30.0

_NAMES = ("image", "label", "probability")
_COUNTS = ("file", "uplink", "downlink")
_STAGES = ("decode", "head", "encode", "network", "cloud", "decode", "tail", "total")
_HEADINGS = (*_NAMES, *_COUNTS, *_STAGES)
_UNITS = (*[""] * len(_NAMES), *["bytes"] * len(_COUNTS), *["ms"] * len(_STAGES))

#: What the edge answered for one image: its JSON, or why there is none.
Outcome = tuple[Path, dict[str, Any] | str]


def classify(url: str, image: Path) -> Outcome:
    """POST the image file to an edge's /classify."""
    try:
        headers = {"Content-Type": "application/octet-stream"}
        request = urllib.request.Request(f"{url}/classify", image.read_bytes(), headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            return image, json.load(response)
    except urllib.error.HTTPError as problem:
        with problem:
            return image, f"{problem.code}: {json.load(problem)['detail']}"
    except (OSError, ValueError, KeyError, http.client.HTTPException) as e:
        return image, str(e)


def format_table(outcomes: Iterable[Outcome]) -> str:
    rows = [_HEADINGS, _UNITS]
    failures = []
    for image, answer in outcomes:
        if isinstance(answer, str):
            failures.append(f"{image}: {answer}")
        else:
            rows.append(_row(image, answer))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(_cells(row, widths)).rstrip() for row in rows]
    lines.insert(2, "  ".join("-" * width for width in widths))
    return "\n".join(lines + failures)


def _row(image: Path, answer: dict[str, Any]) -> tuple[str, ...]:
    best, counts, timings = answer["predictions"][0], answer["bytes"], answer["timings_ms"]
    stages = [timings[name] for name in ("image_decode", "head", "encode", "network")]
    stages.append(None if timings["cloud"] is None else sum(timings["cloud"].values()))
    stages += [timings[name] for name in ("decode", "tail", "total")]
    return (
        image.name,
        best["label"],
        f"{best['probability']:.1%}",
        *(_number(counts[name], "d") for name in ("image", "uplink", "downlink")),
        *(_number(stage, ".2f") for stage in stages),
    )


def _number(value: float | None, style: str) -> str:
    """A dash for what the local route does not have."""
    return "-" if value is None else format(value, style)


def _cells(row: tuple[str, ...], widths: list[int]) -> list[str]:
    """Names to the left, numbers to the right."""
    return [
        cell.ljust(width) if i < 2 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
