import shutil
from pathlib import Path

import pytest

from splitwire.bundle import Bundle
from splitwire.errors import BundleError, CheckpointError, ConfigError
from trainer.claim import check_bundle, check_run


def check(folder: Path, bundle: Path | None = None, *, resume: bool = False, overwrite: bool = False) -> None:
    check_run(folder, bundle or folder / "bundle", resume=resume, overwrite=overwrite)


@pytest.fixture
def finished(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A folder with a run and its bundle."""
    shutil.copytree(tiny_bundle.path, tmp_path / "finished" / "bundle")
    (tmp_path / "finished" / "checkpoint.pt").touch()
    return tmp_path / "finished"


def test_a_new_run(tmp_path: Path) -> None:
    check(tmp_path / "new")
    check(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_overwritten_unasked(finished: Path) -> None:
    with pytest.raises(
        CheckpointError, match="has a run already: --resume continues it, --overwrite starts anew"
    ):
        check(finished)
    check(finished, resume=True)
    check(finished, overwrite=True)


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"^no checkpoint at {tmp_path}/checkpoint.pt$"):
        check(tmp_path, resume=True)


@pytest.mark.parametrize(
    ("out", "bundle"),
    [
        ("same", "same"),
        ("models/run", "models"),
        ("models/deep/er", "models"),
        ("run", "."),
        ("run", ".."),
        ("link/run", "models"),
        ("models/run", "link"),
        ("run", "run/../run"),
    ],
)
def test_a_run_is_not_within_its_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, bundle: str
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "link").symlink_to("models")
    monkeypatch.chdir(tmp_path)
    for folder in (Path(out), tmp_path / out):
        with pytest.raises(ConfigError, match=f"{bundle} would take the place of the run in {folder}"):
            check(folder, Path(bundle), overwrite=True)


def test_a_bundle_beside_a_run_or_within(tmp_path: Path) -> None:
    for bundle in ("run/bundle", "run/deep/er", "runs", "elsewhere/b"):
        check(tmp_path / "run", tmp_path / bundle)


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(BundleError, match="circle/b cannot be followed"):
        check(tmp_path / "run", tmp_path / "circle" / "b")


def test_only_a_bundle_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "taken"
    file.write_text("mine")
    with pytest.raises(BundleError, match=f"{file} exists and is no bundle: not replacing it"):
        check(tmp_path / "run", file, overwrite=True)


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check(tmp_path / "run", tmp_path / "empty")


def test_another_runs_bundle_is_not_replaced_unasked(finished: Path, tmp_path: Path) -> None:
    bundle = finished / "bundle"
    with pytest.raises(ConfigError, match=f"^{bundle} is there already: --overwrite replaces it$"):
        check(tmp_path / "run", bundle)
    check(tmp_path / "run", bundle, overwrite=True)


def test_nor_is_one_whose_run_is_gone(finished: Path) -> None:
    """As where a split without training made it."""
    (finished / "checkpoint.pt").unlink()
    with pytest.raises(ConfigError, match="bundle is there already"):
        check(finished)
    check(finished, overwrite=True)


def test_a_run_that_is_resumed_replaces_its_bundle_wherever_that_is(finished: Path, tmp_path: Path) -> None:
    bundle = (finished / "bundle").rename(tmp_path / "b")
    check(finished, bundle, resume=True)


def test_without_a_run(finished: Path, tmp_path: Path) -> None:
    check_bundle(tmp_path / "new", replace=False)
    with pytest.raises(ConfigError, match="is there already: --overwrite replaces it"):
        check_bundle(finished / "bundle", replace=False)
    check_bundle(finished / "bundle", replace=True)
    with pytest.raises(BundleError, match="finished exists and is no bundle"):
        check_bundle(finished, replace=True)


def test_where_no_bundle_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        BundleError, match=f"^cannot write the bundle {tmp_path}/file/b: {tmp_path}/file: Not a"
    ):
        check(tmp_path / "run", tmp_path / "file" / "b")
