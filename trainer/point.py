"""One way of sending images: what it costs, and how often the answer is right."""

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from trainer.codecs import Codec, File
from trainer.data.dataset import Split
from trainer.measurement import Measurement, Sizes
from trainer.whole import WholeNetwork

__all__ = ["BOTH", "UPLINK", "Point", "as_csv", "point_of_files", "points_of_bundle"]

UPLINK, BOTH = "uplink", "uplink and downlink"


@dataclass(frozen=True, slots=True)
class Point:
    """kind: a codec's, UPLINK or BOTH. quality: None where the codec, or the boundary, has none.
    mean_bytes, p95_bytes: an image's file, or its payloads. bare_bytes: mean without what all files of the
    kind and quality have in common, trainer/envelope.py; payloads have nothing in common.
    accuracy: a fraction. network: what classified, a bundle."""

    name: str
    kind: str
    quality: int | None
    mean_bytes: float
    p95_bytes: float
    bare_bytes: float
    accuracy: float
    images: int
    network: str


def points_of_bundle(name: str, measured: Measurement) -> tuple[Point, Point]:
    """What the edge sends, and what crosses both ways."""

    def point(kind: str, sizes: Sizes) -> Point:
        cost = (sizes.mean, sizes.p95, sizes.mean)
        return Point(name, kind, None, *cost, measured.accuracy, measured.images, network=name)

    return point(UPLINK, measured.uplink.bytes), point(BOTH, measured.both)


def point_of_files(
    codec: Codec, split: Split, network: WholeNetwork, network_name: str, *, progress: bool
) -> Point:
    """Every image of `split` as a file, and what `network` makes of it.

    Raises:
        GraphError: the images are not of the network's size.
    """
    shown = tqdm(split.images, codec.name, unit="image", disable=not progress, leave=False)
    sizes: list[tuple[int, int]] = []

    def decoded(file: File) -> NDArray[np.uint8]:
        sizes.append((file.size, file.bare))
        return file.rgb

    right = network.classify(decoded(codec.round_trip(image)) for image in shown) == split.targets
    whole, bare = np.array(sizes, np.int64).T
    cost = Sizes.of(whole)
    return Point(
        name=codec.name,
        kind=codec.kind,
        quality=codec.quality,
        mean_bytes=cost.mean,
        p95_bytes=cost.p95,
        bare_bytes=float(bare.mean()),
        accuracy=float(right.mean()),
        images=len(split),
        network=network_name,
    )


def as_csv(points: Iterable[Point]) -> str:
    """A heading of Point's fields, and a row a point."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Point))
    writer.writerows(map(_rounded, astuple(point)) for point in points)
    return text.getvalue()


def _rounded(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else value
