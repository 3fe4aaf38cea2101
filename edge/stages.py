"""Where a request's time went, as names and milliseconds."""

from operator import attrgetter

from edge.classification import StageTimings

__all__ = ["STAGES", "server_timing", "stages"]

_CLOUD = ("queue", "decode", "compute", "encode")

#: In the order in which a request goes through them; the cloud's own are `cloud.` and its name.
STAGES = (
    "image_decode",
    "head",
    "encode",
    *(f"cloud.{name}" for name in _CLOUD),
    "network",
    "decode",
    "waited",
    "body",
    "tail",
    "total",
)


_HERE = tuple(name for name in STAGES if not name.startswith("cloud."))
_values, _values_here = attrgetter(*STAGES), attrgetter(*_HERE)


def stages(timings: StageTimings) -> dict[str, float]:
    """Milliseconds of those of STAGES that the request went through."""
    split = timings.cloud is not None
    names, values = (STAGES, _values(timings)) if split else (_HERE, _values_here(timings))
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def server_timing(timings: StageTimings) -> str:
    """A header's value: W3C, "Server Timing", https://www.w3.org/TR/server-timing/."""
    return ", ".join(f"{name};dur={milliseconds:g}" for name, milliseconds in stages(timings).items())
