"""What was measured, in sum, and as a page to read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.accuracy.served import Answer
from splitwire.bundle import Bundle
from splitwire.plan import BoundarySpec

__all__ = ["TOLERANCE", "CodecResult", "Link", "Results"]

#: Points by which the accuracy of two processes may differ from the trainer's own evaluation.
TOLERANCE = 0.1

_LINK_HEADING = (
    f"{'bytes an image':<16}{'mean':>8}{'95 %':>8}{'payload':>9}{'bits/element':>14}{'float32 is':>12}"
)


@dataclass(frozen=True, slots=True)
class CodecResult:
    """bytes: mean per image. accuracy: fraction, of the same network fed with what the files decode to."""

    codec: str
    bytes: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Link:
    """What crossed one boundary, per image. mean, p95: bytes of the gRPC message with its 5-byte prefix.
    payload: mean bytes of the compressed symbols. bits_per_element, ratio: of the mean message."""

    name: str
    mean: float
    p95: float
    payload: float
    bits_per_element: float
    ratio: float

    @classmethod
    def of(cls, name: str, boundary: BoundarySpec, answers: Sequence[Answer]) -> "Link":
        sizes = [getattr(answer, name) for answer in answers]
        mean = float(np.mean(sizes))
        return cls(
            name=name,
            mean=mean,
            p95=float(np.percentile(sizes, 95)),
            payload=float(np.mean([getattr(answer, f"{name}_payload") for answer in answers])),
            bits_per_element=8 * mean / boundary.elements,
            ratio=boundary.raw_bytes / mean,
        )


@dataclass(frozen=True, slots=True)
class Results:
    """trained: the trainer's own accuracy, None where that is not of the same images. served: of two
    processes. whole: of the graphs in one process, on the same images. agreeing: how many images got
    the same label in both. Accuracies are fractions."""

    bundle: str
    digest: str
    images: int
    trained: float | None
    served: float
    whole: float
    agreeing: int
    links: tuple[Link, Link]
    codecs: tuple[CodecResult, ...]

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        expected: Sequence[str],
        answers: Sequence[Answer],
        whole: Sequence[str],
        codecs: Sequence[CodecResult] = (),
    ) -> "Results":
        """expected, whole: the right labels, and those that one process found."""
        manifest = bundle.manifest
        served = [answer.label for answer in answers]
        comparable = manifest.metrics.get("images") == len(expected)
        return cls(
            bundle=manifest.name,
            digest=bundle.digest.hex(),
            images=len(expected),
            trained=float(manifest.metrics["accuracy"]) if comparable else None,
            served=_share_equal(served, expected),
            whole=_share_equal(whole, expected),
            agreeing=round(_share_equal(served, whole) * len(expected)),
            links=(
                Link.of("uplink", manifest.uplink, answers),
                Link.of("downlink", manifest.downlink, answers),
            ),
            codecs=tuple(codecs),
        )

    @property
    def difference(self) -> float | None:
        """Percentage points by which two processes are better than the trainer's own evaluation."""
        # Rounded, or ten images in ten thousand would be a little more than a tenth of a point.
        return None if self.trained is None else round(100 * (self.served - self.trained), 6)

    @property
    def within_tolerance(self) -> bool:
        return self.difference is None or abs(self.difference) <= TOLERANCE

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(
            (
                f"{self.bundle} {self.digest}, {self.images:,} test images",
                "",
                "accuracy",
                *self._accuracy_lines(),
                "",
                _LINK_HEADING,
                *(_link_line(link) for link in self.links),
                *self._codec_lines(),
            )
        )

    def _accuracy_lines(self) -> list[str]:
        lines = [
            f"  {'two processes, over gRPC':<32}{_percent(self.served)}",
            f"  {'one process, the same graphs':<32}{_percent(self.whole)}  same label for {self.agreeing:,}",
        ]
        if self.trained is None or self.difference is None:
            return [*lines, "  the trainer's own evaluation is of other images: nothing to compare with"]
        verdict = f"{self.difference:+.2f} points, at most {TOLERANCE} allowed"
        return [f"  {'the trainer, in torch':<32}{_percent(self.trained)}", *lines, f"  difference {verdict}"]

    def _codec_lines(self) -> list[str]:
        if not self.codecs:
            return []
        rows = [("this bundle, uplink", self.links[0].mean, self.served)]
        rows += [(codec.codec, codec.bytes, codec.accuracy) for codec in self.codecs]
        return [
            "",
            f"{'what could be sent instead':<28}{'bytes':>8}{'accuracy':>12}",
            *(f"  {name:<26}{size:8.0f}{_percent(accuracy):>12}" for name, size, accuracy in rows),
            "Accuracy of the same graphs, boundaries included, fed with what the files decode to.",
        ]


def _share_equal(found: Sequence[str], expected: Sequence[str]) -> float:
    return float(np.mean([a == b for a, b in zip(found, expected, strict=True)]))


def _percent(fraction: float) -> str:
    return f"{100 * fraction:6.2f} %"


def _link_line(link: Link) -> str:
    return (
        f"  {link.name:<14}{link.mean:8.0f}{link.p95:8.0f}{link.payload:9.0f}"
        f"{link.bits_per_element:14.2f}{link.ratio:9.1f} x"
    )
