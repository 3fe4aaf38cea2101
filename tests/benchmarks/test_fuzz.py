"""What fuzzing found before stays found, and each instrument can fail; no timing is judged."""

import importlib
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.fuzz import frames, main, manifests, packing
from benchmarks.fuzz.guard import MAX_SECONDS, check_memory, check_time
from benchmarks.fuzz.minimize import smallest
from splitwire.errors import FrameError, ManifestError

_MAX_CORPUS_BYTES = 300_000


@pytest.fixture(params=main.TARGETS)
def target(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(f"benchmarks.fuzz.{request.param}")


def corpus(target: ModuleType) -> list[bytes]:
    folder = main.CORPUS / target.__name__.rpartition(".")[2]
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def test_the_corpus_is_read_or_refused(target: ModuleType) -> None:
    found = corpus(target)
    assert len(found) > 10
    for data in found + target.seeds():
        target.check(data)  # which also fills what is made once
        check_memory(target.check, target.allowance, data)


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in main.CORPUS.rglob("*") if path.is_file()) < _MAX_CORPUS_BYTES


@pytest.mark.parametrize(
    ("module", "function", "base"),
    [(frames, "decode", FrameError), (packing, "unpack", FrameError), (manifests, "Manifest", ManifestError)],
    ids=str,
)
def test_errors_that_are_not_typed_are_failures(
    module: ModuleType, function: str, base: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails:
        def __init__(self, *_: object) -> None:
            raise ValueError("no typed error")

        from_bytes = __init__

    monkeypatch.setattr(module, function, Fails)
    with pytest.raises(ValueError, match="no typed error"):
        module.check(module.seeds()[-1])


def test_a_frame_error_of_no_kind_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise FrameError("of no kind")

    monkeypatch.setattr(frames, "decode", refuses)
    with pytest.raises(FrameError, match="of no kind"):
        frames.check(frames.seeds()[-1])


def test_too_long_or_too_much_is_a_failure() -> None:
    def burn(_: bytes) -> None:
        end = time.thread_time() + 2 * MAX_SECONDS
        while time.thread_time() < end:
            pass

    def hoard(_: bytes) -> None:
        bytes(100_000)

    with pytest.raises(AssertionError, match=r"\d s"):
        check_time(burn, b"")
    with pytest.raises(AssertionError, match="bytes"):
        check_memory(hoard, lambda _: 50_000, b"")


def test_mutations_stay_json_and_mostly_differ() -> None:
    seed, *_ = manifests.seeds()
    mutated = [manifests.mutate(seed, number) for number in range(100)]
    assert len(set(mutated)) > 50
    for data in mutated:
        assert data is not None
        manifests.check(data)
    assert manifests.mutate(b"no JSON", 0) is None


def test_minimizing_keeps_the_shortest_of_each_way() -> None:
    refused, also_refused, read = b"\x01\x01\xff", b"\x01\x01\xffx", frames.seeds()[-2]
    assert smallest([also_refused, read, refused, read], frames.check) == [refused, read]


def test_without_atheris_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    assert main.main(["frames", "--out", str(tmp_path)]) == 2
    assert "pip install" in capsys.readouterr().err
