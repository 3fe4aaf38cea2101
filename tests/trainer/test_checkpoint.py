import os
import pickle
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splitwire.errors import CheckpointError
from tests.trainer.networks import make_images, make_model, same_bits, tensors
from trainer.atomic import write_atomically
from trainer.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pt"


@contextmanager
def disk_for(size: int) -> Iterator[None]:
    """Writing any file beyond `size` bytes fails, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def state(seed: int = 0) -> dict[str, Any]:
    model = make_model(seed=seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(make_images(2)).sum().backward()
    optimizer.step()
    return {"network": model.state_dict(), "optimizer": optimizer.state_dict(), "metrics": ["{}"], "n": 3}


def assert_holds(path: Path, expected: dict[str, Any]) -> None:
    found = load_checkpoint(path)
    assert found["metrics"] == expected["metrics"]
    assert tensors(found).keys() == tensors(expected).keys()
    assert all(same_bits(t.float(), tensors(expected)[k].float()) for k, t in tensors(found).items())
    assert [file.name for file in path.parent.iterdir()] == [path.name], "nothing is left beside it"


def test_comes_back_as_it_was(path: Path) -> None:
    save_checkpoint(path, state())
    assert_holds(path, state())


def test_replaces_the_one_before(path: Path) -> None:
    save_checkpoint(path, state(0))
    save_checkpoint(path, state(1))
    assert_holds(path, state(1))


@pytest.mark.parametrize("size", [0, 1, 1000, 33_000, 100_000])
def test_a_full_disk_leaves_the_one_before(path: Path, size: int) -> None:
    save_checkpoint(path, state(0))
    with (
        disk_for(size),
        pytest.raises(CheckpointError, match=r"cannot write .*: File too large; the one before is intact$"),
    ):
        save_checkpoint(path, state(1))
    assert_holds(path, state(0))


def test_a_full_disk_leaves_nothing_where_there_was_nothing(path: Path) -> None:
    with disk_for(1000), pytest.raises(CheckpointError) as caught:
        save_checkpoint(path, state())
    assert "intact" not in str(caught.value)
    assert list(path.parent.iterdir()) == []


def test_a_process_killed_while_writing_leaves_the_one_before(path: Path) -> None:
    save_checkpoint(path, state(0))
    path.with_name(path.name + ".new").write_bytes(path.read_bytes()[:1000])
    assert load_checkpoint(path)["n"] == 3
    save_checkpoint(path, state(1))
    assert_holds(path, state(1))


def test_interrupted_while_writing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(path, state(0))

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, state(1))
    assert load_checkpoint(path)["network"].keys() == state(0)["network"].keys()


@pytest.mark.parametrize("below", ["absent", "file"])
def test_nowhere_to_write(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot write"):
        save_checkpoint(tmp_path / below / "checkpoint.pt", {})
    with pytest.raises(CheckpointError, match="cannot write"):
        write_atomically(tmp_path / below / "metrics.jsonl", "")


def test_absent(path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"^no checkpoint at {path}$"):
        load_checkpoint(path)


class Hostile:
    """Runs a command where it is unpickled without care."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("by_torch", [True, False])
def test_a_hostile_pickle_is_not_run(path: Path, by_torch: bool) -> None:
    witness = path.parent / "witness"
    if by_torch:
        torch.save({"network": Hostile(witness)}, path)
    else:
        path.write_bytes(pickle.dumps(Hostile(witness), protocol=2))
    with pytest.raises(CheckpointError, match="not a checkpoint that can be read"):
        load_checkpoint(path)
    assert not witness.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text", b"not a checkpoint", b"\x80\x02K\x01."])
def test_other_files(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"^{path} is not a checkpoint that can be read: [a-z ,]+$"):
        load_checkpoint(path)


def test_a_folder_in_its_place(path: Path) -> None:
    path.mkdir()
    with pytest.raises(CheckpointError, match="cannot write"):
        save_checkpoint(path, {})
    with pytest.raises(CheckpointError, match="is not a checkpoint that can be read"):
        load_checkpoint(path)


def test_another_value(path: Path) -> None:
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="it holds a list"):
        load_checkpoint(path)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_broken_files_give_one_error(path: Path, data: st.DataObject) -> None:
    """Or are read as they were written: a byte that stands for nothing may be any."""
    save_checkpoint(path, {"weights": torch.arange(20.0), "metrics": ["{}"]})
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with suppress(CheckpointError):
        found = load_checkpoint(path)
        assert same_bits(found["weights"], torch.arange(20.0))
        assert found["metrics"] == ["{}"]


def test_text_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_atomically(path, "one\n")
    write_atomically(path, "zwölf\n")
    assert path.read_bytes() == "zwölf\n".encode()
    with disk_for(10), pytest.raises(CheckpointError, match=f"cannot write {path}"):
        write_atomically(path, "more than ten bytes\n")
    assert path.read_bytes() == "zwölf\n".encode()
    assert list(tmp_path.iterdir()) == [path]
