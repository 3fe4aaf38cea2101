"""Bundles beside image files: the same images, all ways of sending them, one table."""

from collections.abc import Sequence
from dataclasses import dataclass

from splitwire.bundle import Bundle
from trainer.codecs import PNG, WEBP_LOSSLESS, Codec, jpeg, webp
from trainer.data.dataset import Split
from trainer.measurement import Crossing, Measurement, measure
from trainer.point import Point, point_of_files, points_of_bundle
from trainer.whole import WholeNetwork

__all__ = ["CODECS", "Comparison", "compare"]

CODECS: tuple[Codec, ...] = (
    PNG,
    WEBP_LOSSLESS,
    *(jpeg(quality) for quality in (95, 85, 75, 50, 25, 10)),
    *(webp(quality) for quality in (95, 90, 75, 50, 25, 10)),
)


_BUNDLE_HEADING = f"{'accuracy':>10}{'mean':>9}{'95 %':>9}{'bits/element':>14}{'float32 is':>12}"
_FILE_HEADING = f"{'accuracy':>10}{'mean':>9}{'95 %':>9}{'bare':>14}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """title: of the images. bundles: by name, which here is unique. files: a point for each codec.
    classifier: which network classified the files, in words."""

    title: str
    bundles: dict[str, Measurement]
    files: tuple[Point, ...]
    classifier: str

    @property
    def points(self) -> list[Point]:
        """All rows: the bundles' in pairs, then the files'."""
        own = [point for name, found in self.bundles.items() for point in points_of_bundle(name, found)]
        return [*own, *self.files]

    def __str__(self) -> str:
        width = max(20, *(len(name) + 2 for name in self.bundles))
        return "\n".join(
            (
                self.title,
                "",
                f"{'payload bytes an image':<{width + 10}}{_BUNDLE_HEADING}",
                *(_bundle_lines(name, found, width) for name, found in self.bundles.items()),
                "",
                f"{'bytes of a file':<{width + 10}}{_FILE_HEADING}",
                *(_file_line(point, width) for point in self.files),
                "",
                f"Files classified by {self.classifier}.",
                "bare: mean without the headers that all files of the format and quality have in common.",
            )
        )


def compare(
    title: str,
    bundles: dict[str, Bundle],
    split: Split,
    *,
    unsplit: tuple[str, Bundle] | None = None,
    codecs: Sequence[Codec] = CODECS,
    progress: bool,
) -> Comparison:
    """Measures the bundles, and the codecs with the network of `unsplit`, a name and a bundle, or, without
    one, with the first bundle's own graphs.

    Raises:
        GraphError: a graph cannot be loaded, or does not fit the manifest or the images.
    """
    name, bundle = unsplit or next(iter(bundles.items()))
    network = WholeNetwork(bundle)
    return Comparison(
        title=title,
        bundles={key: measure(value, split, progress=progress) for key, value in bundles.items()},
        files=tuple(point_of_files(codec, split, network, name, progress=progress) for codec in codecs),
        classifier=f"the same network, unsplit: {name}"
        if unsplit
        else f"{name}'s own graphs, its boundaries included",
    )


def _bundle_lines(name: str, found: Measurement, width: int) -> str:
    uplink = _crossing(found.uplink)
    return "\n".join(
        (
            f"{name:<{width}}{'uplink':<10}{_percent(found.accuracy)}{uplink}",
            f"{'':<{width}}{'downlink':<10}{'':<10}{_crossing(found.downlink)}",
            f"{'':<{width}}{'both':<20}{found.both.mean:9,.0f}{found.both.p95:9,.0f}",
        )
    )


def _crossing(crossing: Crossing) -> str:
    sizes = crossing.bytes
    return f"{sizes.mean:9,.0f}{sizes.p95:9,.0f}{crossing.bits_per_element:14.2f}{crossing.ratio:10.1f} x"


def _file_line(point: Point, width: int) -> str:
    cost = f"{point.mean_bytes:9,.0f}{point.p95_bytes:9,.0f}{point.bare_bytes:14,.0f}"
    return f"{point.name:<{width + 10}}{_percent(point.accuracy)}{cost}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:8.2f} %"
