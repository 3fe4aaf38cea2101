"""The cloud as its user runs it: a process, signals, exit status, stderr."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from protos.splitwire_pb2_grpc import SplitInferenceStub
from splitwire import compiled
from splitwire.bundle import Bundle
from tests.bundles import tiny_bundle as make_tiny_bundle
from tests.cloud.serving import PATIENCE, StreamClient, health, make_request

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class _Process:
    """A cloud that has said that it is ready."""

    popen: subprocess.Popen[str]
    announced: str
    channel: grpc.Channel

    @property
    def address(self) -> str:
        return self.announced.rpartition(" ")[2]

    @property
    def stub(self) -> SplitInferenceStub:
        return SplitInferenceStub(self.channel)

    def serving(self) -> bool:
        return health(self.channel) == health_pb2.HealthCheckResponse.SERVING

    def end(self) -> tuple[int, str]:
        """Wait for the exit status, and the rest of stderr."""
        _, rest = self.popen.communicate(timeout=PATIENCE)
        return self.popen.returncode, rest


Start = Callable[..., _Process]


@pytest.fixture
def start(tiny_bundle: Bundle) -> Iterator[Start]:
    """Starts clouds on free ports; those that still run at the test's end are killed."""
    started: list[_Process] = []

    def start(*options: str, bundle: Bundle = tiny_bundle) -> _Process:
        command = [sys.executable, "-m", "cloud", "--bundle", str(bundle.path), "--listen", "127.0.0.1:0"]
        popen = subprocess.Popen([*command, *options], cwd=_ROOT, stderr=subprocess.PIPE, text=True)
        assert popen.stderr is not None
        announced = popen.stderr.readline().strip()
        channel = grpc.insecure_channel(announced.rpartition(" ")[2])
        started.append(_Process(popen, announced, channel))
        return started[-1]

    yield start
    for process in started:
        process.channel.close()
        process.popen.kill()
        process.popen.communicate(timeout=PATIENCE)


@pytest.fixture(scope="module")
def seconds_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose body computes for seconds: long enough to signal the process meanwhile."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "seconds", body_repeats=400_000)


def _stream_in_flight(process: _Process, bundle: Bundle) -> StreamClient:
    """A stream of which request 1 is surely being computed."""
    refused = make_request(bundle, id=2)
    refused.bundle_digest = bytes(8)
    stream = StreamClient(process.stub)
    stream.send(make_request(bundle, id=1), refused)
    assert stream.receive().id == 2
    return stream


def test_it_announces_itself_and_answers(start: Start, tiny_bundle: Bundle) -> None:
    process = start()
    digest = tiny_bundle.digest.hex()
    assert (
        process.announced == f"cloud: serving tiny {digest} on 127.0.0.1:{process.address.rpartition(':')[2]}"
    )
    assert process.stub.Forward(make_request(tiny_bundle), timeout=PATIENCE).HasField("frame")
    assert process.serving()


def test_reflection_lists_its_services(start: Start) -> None:
    services = ProtoReflectionDescriptorDatabase(start().channel).get_services()
    assert {"splitwire.v1.SplitInference", "grpc.health.v1.Health"} <= set(services)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_an_idle_stream_at_once(
    start: Start, tiny_bundle: Bundle, number: signal.Signals
) -> None:
    process = start("--drain-seconds", "3600")
    stream = StreamClient(process.stub)
    stream.send(make_request(tiny_bundle))
    stream.receive()
    process.popen.send_signal(number)
    assert stream.status()[0] is grpc.StatusCode.UNAVAILABLE
    code, rest = process.end()
    assert code == 0
    assert "Traceback" not in rest


def test_sigterm_finishes_what_is_in_flight(start: Start, seconds_bundle: Bundle) -> None:
    process = start("--workers", "1", "--drain-seconds", "3600", bundle=seconds_bundle)
    stream = _stream_in_flight(process, seconds_bundle)
    process.popen.send_signal(signal.SIGTERM)
    while process.serving():
        pass
    with pytest.raises(grpc.RpcError) as refused:
        process.stub.Forward(make_request(seconds_bundle), timeout=PATIENCE)
    assert isinstance(refused.value, grpc.Call)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert process.popen.poll() is None, "it must not end before what is in flight"
    reply = stream.receive()
    assert (reply.id, reply.WhichOneof("result")) == (1, "frame")
    assert stream.status()[0] is grpc.StatusCode.UNAVAILABLE
    assert process.end()[0] == 0


def test_the_drain_ends_at_its_limit(start: Start, seconds_bundle: Bundle) -> None:
    process = start("--workers", "1", "--drain-seconds", "0.1", bundle=seconds_bundle)
    stream = _stream_in_flight(process, seconds_bundle)
    stream.send(*(make_request(seconds_bundle, id=i) for i in range(3, 50)))
    process.popen.send_signal(signal.SIGTERM)
    assert stream.status()[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    code, rest = process.end()
    assert code == 0
    assert "cloud: requests were still in flight after 0.1 s" in rest


def test_a_second_signal_ends_it_at_once(start: Start, seconds_bundle: Bundle) -> None:
    process = start("--workers", "1", "--drain-seconds", "3600", bundle=seconds_bundle)
    stream = _stream_in_flight(process, seconds_bundle)
    process.popen.send_signal(signal.SIGTERM)
    while process.serving():
        pass
    process.popen.send_signal(signal.SIGTERM)
    assert process.end()[0] == -signal.SIGTERM
    assert stream.status()[0] is grpc.StatusCode.UNAVAILABLE


def test_a_taken_port_is_one_line_and_status_2(tiny_bundle: Bundle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        code, out, err = _run("--bundle", str(tiny_bundle.path), "--listen", address)
    assert (code, out) == (2, "")
    assert err == f"cloud: error: cannot listen on {address}: Address already in use\n"


def test_a_missing_bundle_is_one_line_and_status_2() -> None:
    code, out, err = _run("--bundle", "no/such/bundle")
    assert (code, out) == (2, "")
    assert err.startswith("cloud: error: no bundle at no/such/bundle")
    assert err.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_cloud_that_has_answered_holds_no_torch(start: Start, tiny_bundle: Bundle) -> None:
    process = start()
    process.stub.Forward(make_request(tiny_bundle), timeout=PATIENCE)
    maps = Path(f"/proc/{process.popen.pid}/maps").read_text()
    assert "onnxruntime" in maps
    assert "torch" not in maps


def test_importing_the_cloud_never_imports_torch() -> None:
    code = "import cloud.__main__, sys; print(sorted(m for m in sys.modules if m.startswith('torch')))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def _run(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "cloud", *arguments]
    ran = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=PATIENCE)
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize("program", ["cloud", "edge"])
def test_without_a_compiled_coder_it_says_so_and_serves(program: str, tiny_bundle: Bundle) -> None:
    """As where there was no compiler: `splitwire._coder` cannot be imported."""
    code = (
        "import runpy, sys; sys.modules['splitwire._coder'] = None; "
        "runpy.run_module(sys.argv.pop(1), run_name='__main__')"
    )
    options: tuple[str, ...] = ("--listen", "127.0.0.1:0", "--bundle", str(tiny_bundle.path))
    options += ("--cloud", "127.0.0.1:1") if program == "edge" else ()
    command = [sys.executable, "-c", code, program, *options]
    with subprocess.Popen(command, cwd=_ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any(line.startswith(f"{program}: serving ") for line in process.stderr)
        process.terminate()
        _, rest = process.communicate(timeout=PATIENCE)
    assert f"{program}: {compiled.NOT_BUILT}" in rest.splitlines()
    assert process.returncode == 0
