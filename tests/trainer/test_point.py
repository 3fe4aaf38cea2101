import csv
import io

import numpy as np

from splitwire.bundle import Bundle
from tests.bundles import SIZE
from trainer.codecs import PNG, jpeg
from trainer.data import Split
from trainer.measurement import measure
from trainer.point import BOTH, UPLINK, as_csv, point_of_files, points_of_bundle
from trainer.whole import WholeNetwork


def images(count: int = 70) -> Split:
    """Of all brightnesses, without which the tiny bundle knows one label alone."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, generator.integers(1, 257, (count, 1, 1, 3)), (count, SIZE, SIZE, 3))
    return Split(pixels.astype(np.uint8), np.arange(count) % 10)


def labelled(network: WholeNetwork, wrong: int) -> Split:
    """Images of which the network gets all but `wrong` right."""
    split = images()
    targets = network.classify(split.images)
    targets[:wrong] = (targets[:wrong] + 1) % 10
    return Split(split.images, targets)


def test_lossless_files_get_the_networks_own_answers(tiny_bundle: Bundle) -> None:
    network = WholeNetwork(tiny_bundle)
    split = labelled(network, wrong=7)
    found = point_of_files(PNG, split, network, "tiny", progress=False)
    sizes = [len(PNG.encode(image)) for image in split.images]
    assert (found.name, found.kind, found.quality, found.network) == ("PNG", "PNG", None, "tiny")
    assert (found.accuracy, found.images) == (63 / 70, 70)
    assert found.mean_bytes == np.mean(sizes)
    assert found.p95_bytes == np.percentile(sizes, 95)
    assert found.mean_bytes - found.bare_bytes == 63  # what a PNG of one chunk has besides deflate's bytes


def test_lossy_files_are_classified_as_they_are_decoded(tiny_bundle: Bundle) -> None:
    network, codec = WholeNetwork(tiny_bundle), jpeg(1)
    split = labelled(network, wrong=0)
    found = point_of_files(codec, split, network, "tiny", progress=False)
    decoded = [codec.round_trip(image).rgb for image in split.images]
    assert found.accuracy == (network.classify(decoded) == split.targets).mean() < 1
    assert found.quality == 1


def test_a_bundle_is_a_pair_whose_payloads_have_no_headers(tiny_bundle: Bundle) -> None:
    measured = measure(tiny_bundle, images(20), progress=False)
    uplink, both = points_of_bundle("tiny", measured)
    assert (uplink.kind, both.kind) == (UPLINK, BOTH)
    assert uplink.mean_bytes == uplink.bare_bytes == measured.uplink.bytes.mean
    assert both.mean_bytes == measured.uplink.bytes.mean + measured.downlink.bytes.mean
    assert uplink.accuracy == both.accuracy == measured.accuracy


def test_csv_has_a_heading_and_a_row_a_point(tiny_bundle: Bundle) -> None:
    points = points_of_bundle("tiny, or not", measure(tiny_bundle, images(20), progress=False))
    rows = list(csv.DictReader(io.StringIO(as_csv(points))))
    assert list(rows[0]) == [
        *("name", "kind", "quality", "mean_bytes", "p95_bytes", "bare_bytes", "accuracy", "images", "network")
    ]
    assert [(row["name"], row["kind"], row["quality"]) for row in rows] == [
        ("tiny, or not", UPLINK, ""),
        ("tiny, or not", BOTH, ""),
    ]
    assert float(rows[0]["mean_bytes"]) == round(points[0].mean_bytes, 6)
