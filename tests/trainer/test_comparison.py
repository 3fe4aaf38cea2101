from pathlib import Path

import numpy as np

from splitwire.bundle import Bundle
from tests.bundles import tiny_bundle as make_tiny_bundle
from tests.trainer.test_point import images
from trainer.codecs import PNG, webp
from trainer.comparison import CODECS, compare
from trainer.whole import WholeNetwork


def test_files_are_classified_by_the_first_bundle_unless_another_is_named(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    other, split = make_tiny_bundle(tmp_path / "other", seed=1), images(20)
    codecs = (PNG, webp(50))
    alone = compare("title", {"tiny": tiny_bundle}, split, codecs=codecs, progress=False)
    beside = compare(
        "title", {"tiny": tiny_bundle}, split, unsplit=("other", other), codecs=codecs, progress=False
    )
    assert alone.bundles == beside.bundles
    for found, bundle, name in ((alone, tiny_bundle, "tiny"), (beside, other, "other")):
        right = WholeNetwork(bundle).classify(split.images) == split.targets
        assert found.files[0].accuracy == np.mean(right)
        assert {point.network for point in found.files} == {name}
    assert "Files classified by tiny's own graphs, its boundaries included." in str(alone)
    assert "Files classified by the same network, unsplit: other." in str(beside)


def test_the_table_and_the_points(tiny_bundle: Bundle, tmp_path: Path) -> None:
    other = make_tiny_bundle(tmp_path / "other", seed=1)
    found = compare("the title", {"a": tiny_bundle, "b": other}, images(8), codecs=(PNG,), progress=False)
    assert [point.name for point in found.points] == ["a", "a", "b", "b", "PNG"]
    lines = str(found).splitlines()
    assert lines[0] == "the title"
    assert len({len(line) for line in lines if "uplink" in line}) == 1
    uplink = found.bundles["b"].uplink
    (line,) = (line for line in lines if line.startswith("b "))
    assert line.split()[-5:] == [
        *(f"{uplink.bytes.mean:,.0f}", f"{uplink.bytes.p95:,.0f}"),
        *(f"{uplink.bits_per_element:.2f}", f"{uplink.ratio:.1f}", "x"),
    ]


def test_every_codec_has_a_name_of_its_own() -> None:
    assert len({codec.name for codec in CODECS}) == len(CODECS)
