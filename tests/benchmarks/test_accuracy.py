"""The accuracy benchmark on a tiny bundle and random images: real processes, no timing."""

import dataclasses

import numpy as np
import pytest

from benchmarks.accuracy.main import CODECS, compare, main, serve
from benchmarks.accuracy.report import Results
from benchmarks.accuracy.served import Answer
from splitwire.bundle import Bundle
from tests.bundles import LABELS, SIZE
from trainer.codecs import PNG
from trainer.data.dataset import Split

_SPLIT = Split(
    np.random.default_rng(0).integers(0, 256, (12, SIZE, SIZE, 3), dtype=np.uint8), np.arange(12) % 10
)


def test_served_and_in_one_process_agree(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    answers = serve(tiny_bundle, _SPLIT.images, connections=3)
    results = compare(tiny_bundle, _SPLIT, answers, CODECS)
    assert "two processes: 12 of 12" in capsys.readouterr().err
    assert results.images == results.agreeing == 12
    assert results.served == results.whole
    assert [codec.codec for codec in results.codecs] == [codec.name for codec in CODECS]
    assert [answer.image for answer in answers] == [len(PNG.encode(image)) for image in _SPLIT.images]
    assert all(text in str(results) for text in ("uplink", "downlink", "WebP q75", "12 test images"))


def _results(bundle: Bundle, right: int, *, trained: float, images: int) -> Results:
    """As if `right` of 1000 images got their label, at 64 bytes of uplink and 32 of downlink each."""
    metrics = {"accuracy": trained, "images": images}
    bundle = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, metrics=metrics))
    found = [LABELS[0]] * right + [LABELS[1]] * (1000 - right)
    answers = [Answer(label, 500, 64, 32, 40, 8) for label in found]
    return Results.of(bundle, [LABELS[0]] * 1000, answers, found)


@pytest.mark.parametrize(
    ("right", "within"), [(864, True), (865, True), (863, True), (866, False), (862, False)]
)
def test_the_difference_may_be_a_tenth_of_a_point(tiny_bundle: Bundle, right: int, within: bool) -> None:
    results = _results(tiny_bundle, right, trained=0.864, images=1000)
    assert results.difference == pytest.approx((right - 864) / 10)
    assert results.within_tolerance is within


def test_an_evaluation_of_other_images_is_not_compared(tiny_bundle: Bundle) -> None:
    results = _results(tiny_bundle, 1, trained=0.864, images=10_000)
    assert results.difference is None
    assert results.within_tolerance


def test_bits_and_ratio_count_the_whole_message(tiny_bundle: Bundle) -> None:
    uplink, downlink = _results(tiny_bundle, 1, trained=0.5, images=1000).links
    assert (uplink.mean, uplink.p95, uplink.payload) == (64, 64, 40)
    assert uplink.bits_per_element == 64 * 8 / 512
    assert uplink.ratio == 512 * 4 / 64
    assert downlink.ratio == 16 * 4 / 32


def test_what_is_missing_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bundle", "no/such/bundle", "--data", "no/such/data"]) == 2
    assert capsys.readouterr().err.startswith("benchmarks.accuracy: error: no bundle at no/such/bundle")
