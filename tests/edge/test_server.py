import json
import re
import shutil
import socket
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from edge.config import EdgeConfig
from edge.discovery import Discovered
from edge.names import CloudName
from edge.route import LocalRoute
from edge.server import _listen, make_pipeline
from splitwire.address import Address
from splitwire.bundle import Bundle
from splitwire.errors import CloudUnavailable, ConfigError, GraphError
from tests.bundles import tiny_bundle as make_bundle
from tests.edge.calling import Caller


def test_answers_do_not_wait_for_the_clients_acknowledgements() -> None:
    """Without TCP_NODELAY every answer on a kept-alive connection took 40 ms longer."""
    with _listen(Address("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        with client, accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("broken", ["head.onnx", "tail.onnx"])
def test_a_bundle_that_cannot_be_served_leaves_nobody_who_resolves_names(
    tiny_bundle: Bundle, tmp_path: Path, broken: str
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle.path, folder)
    graph = b"no graph"
    (folder / broken).write_bytes(graph)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][broken] = {"sha256": sha256(graph).hexdigest(), "bytes": len(graph)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    before = set(threading.enumerate())
    with pytest.raises(GraphError):
        make_pipeline(EdgeConfig(folder, cloud=(CloudName("localhost", 1),)))
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def test_a_reload_while_names_do_not_resolve_keeps_their_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [Address("127.0.0.1", 1)]

    def resolve(name: CloudName) -> tuple[Address, ...]:
        if not known:
            raise CloudUnavailable(f"{name} does not resolve")
        return tuple(known)

    monkeypatch.setattr(CloudName, "resolve", resolve)
    folder = tmp_path / "bundle"
    folder.symlink_to(make_bundle(tmp_path / "1", seed=1).path)
    edge = Caller(EdgeConfig(folder, cloud=(CloudName("clouds.example", 1),)))
    try:
        assert _targets(edge) == ["127.0.0.1:1"]
        known.clear()
        folder.unlink()
        folder.symlink_to(make_bundle(tmp_path / "2", seed=2).path)
        assert edge.reload().result == "swapped"
        assert _targets(edge) == ["127.0.0.1:1"]
    finally:
        edge.close()


def _targets(edge: Caller) -> list[str]:
    """Those who would be asked, once names were resolved."""
    cloud = edge.pipeline.cloud
    assert isinstance(cloud, Discovered)
    assert cloud._resolved.wait(10)
    return [replica.target for replica in cloud.replicas]


@pytest.mark.parametrize(("seconds", "warned"), [(0.9, False), (1.1, True)])
def test_an_edge_that_takes_too_long_by_itself_says_so(
    tiny_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    seconds: float,
    warned: bool,
) -> None:
    monkeypatch.setattr(LocalRoute, "seconds", seconds)
    pipeline = make_pipeline(EdgeConfig(tiny_bundle.path, cloud=(Address("127.0.0.1", 1),), deadline_ms=2000))
    pipeline.cloud.close()
    warning = "the cloud's layers take 1100 ms here, more than half of --deadline-ms 2000"
    assert (warning in caplog.text) == warned


def test_a_taken_port_is_named_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ConfigError, match=f"^cannot listen on {address}: Address already in use$"):
            _listen(address)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b"])
def test_a_host_that_nobody_knows_is_named(host: str) -> None:
    with pytest.raises(ConfigError, match=rf"^cannot listen on {re.escape(host)}:1: \w+"):
        _listen(Address(host, 1))
