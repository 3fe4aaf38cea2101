import shutil
from pathlib import Path

import pytest

from protos import generate

_PROTOS = Path(generate.__file__).parent


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of protos/ that `generate` takes for the real one."""
    shutil.copytree(_PROTOS, tmp_path / "protos", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(generate, "_ROOT", tmp_path)
    return tmp_path / "protos"


def test_the_committed_stubs_are_what_the_proto_generates() -> None:
    assert generate.drifted() == []


def test_check_is_silent_when_nothing_has_drifted(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0
    assert capsys.readouterr() == ("", "")


def test_check_names_a_changed_and_a_missing_stub(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = copy / "splitwire_pb2.pyi"
    changed.write_text(changed.read_text() + "\n")
    (copy / "splitwire_pb2_grpc.py").unlink()
    assert generate.main(["--check"]) == 1
    named = [line.split()[0] for line in capsys.readouterr().err.splitlines()]
    assert named == ["protos/splitwire_pb2.pyi", "protos/splitwire_pb2_grpc.py"]


def test_generating_repairs_drift(copy: Path) -> None:
    (copy / "splitwire_pb2.py").write_text("")
    assert generate.main([]) == 0
    assert generate.drifted() == []


def test_a_proto_that_does_not_parse_is_an_error(copy: Path) -> None:
    (copy / "splitwire.proto").write_text("no proto")
    with pytest.raises(RuntimeError, match="protoc ended with status"):
        generate.main([])
