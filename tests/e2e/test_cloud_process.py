"""The cloud as its user runs it: a process, signals, exit status, stderr."""

import contextlib
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
from tests.cloud.serving import StreamClient, health, make_request
from tests.e2e.processes import PATIENCE, ROOT, Service, cloud_process, running


@dataclass(frozen=True)
class _Cloud:
    """One that has said that it is ready, and a connection to it."""

    service: Service
    channel: grpc.Channel

    @property
    def stub(self) -> SplitInferenceStub:
        return SplitInferenceStub(self.channel)

    def serving(self) -> bool:
        return health(self.channel) == health_pb2.HealthCheckResponse.SERVING

    def terminate(self) -> None:
        self.service.process.terminate()


Start = Callable[..., _Cloud]


@pytest.fixture
def start(tiny_bundle: Bundle) -> Iterator[Start]:
    """Starts clouds on free ports; those that still run at the test's end are killed."""
    with contextlib.ExitStack() as stack:

        def start(*options: str, bundle: Bundle = tiny_bundle) -> _Cloud:
            service = stack.enter_context(cloud_process(bundle.path, *options))
            channel = stack.enter_context(grpc.insecure_channel(service.address))
            return _Cloud(service, channel)

        yield start


@pytest.fixture(scope="module")
def seconds_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose body computes for seconds: long enough to signal the process meanwhile."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "seconds", body_repeats=400_000)


def _stream_in_flight(cloud: _Cloud, bundle: Bundle) -> StreamClient:
    """A stream of which request 1 is surely being computed."""
    refused = make_request(bundle, id=2)
    refused.bundle_digest = bytes(8)
    stream = StreamClient(cloud.stub)
    stream.send(make_request(bundle, id=1), refused)
    assert stream.receive().id == 2
    return stream


def test_it_announces_itself_and_answers(start: Start, tiny_bundle: Bundle) -> None:
    cloud = start()
    digest = tiny_bundle.digest.hex()
    port = cloud.service.address.rpartition(":")[2]
    assert cloud.service.announced == f"cloud: serving tiny {digest} on 127.0.0.1:{port}"
    assert cloud.stub.Forward(make_request(tiny_bundle), timeout=PATIENCE).HasField("frame")
    assert cloud.serving()


def test_reflection_lists_its_services(start: Start) -> None:
    services = ProtoReflectionDescriptorDatabase(start().channel).get_services()
    assert {"splitwire.v1.SplitInference", "grpc.health.v1.Health"} <= set(services)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_an_idle_stream_at_once(
    start: Start, tiny_bundle: Bundle, number: signal.Signals
) -> None:
    cloud = start("--drain-seconds", "3600")
    stream = StreamClient(cloud.stub)
    stream.send(make_request(tiny_bundle))
    stream.receive()
    cloud.service.process.send_signal(number)
    assert stream.status()[0] is grpc.StatusCode.UNAVAILABLE
    code, rest = cloud.service.end()
    assert code == 0
    assert "Traceback" not in rest


def test_sigterm_finishes_what_is_in_flight(start: Start, seconds_bundle: Bundle) -> None:
    cloud = start("--workers", "1", "--drain-seconds", "3600", bundle=seconds_bundle)
    stream = _stream_in_flight(cloud, seconds_bundle)
    cloud.terminate()
    while cloud.serving():
        pass
    with pytest.raises(grpc.RpcError) as refused:
        cloud.stub.Forward(make_request(seconds_bundle), timeout=PATIENCE)
    assert isinstance(refused.value, grpc.Call)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert cloud.service.process.poll() is None, "it must not end before what is in flight"
    reply = stream.receive()
    assert (reply.id, reply.WhichOneof("result")) == (1, "frame")
    assert stream.status()[0] is grpc.StatusCode.UNAVAILABLE
    assert cloud.service.end()[0] == 0


def test_the_drain_ends_at_its_limit(start: Start, seconds_bundle: Bundle) -> None:
    cloud = start("--workers", "1", "--drain-seconds", "0.1", bundle=seconds_bundle)
    stream = _stream_in_flight(cloud, seconds_bundle)
    stream.send(*(make_request(seconds_bundle, id=i) for i in range(3, 50)))
    cloud.terminate()
    assert stream.status()[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    code, rest = cloud.service.end()
    assert code == 0
    assert "cloud: requests were still in flight after 0.1 s" in rest


def test_a_second_signal_ends_it_at_once(start: Start, seconds_bundle: Bundle) -> None:
    cloud = start("--workers", "1", "--drain-seconds", "3600", bundle=seconds_bundle)
    stream = _stream_in_flight(cloud, seconds_bundle)
    cloud.terminate()
    while cloud.serving():
        pass
    cloud.terminate()
    assert cloud.service.end()[0] == -signal.SIGTERM
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
    cloud = start()
    cloud.stub.Forward(make_request(tiny_bundle), timeout=PATIENCE)
    maps = Path(f"/proc/{cloud.service.process.pid}/maps").read_text()
    assert "onnxruntime" in maps
    assert "torch" not in maps


def test_importing_the_cloud_never_imports_torch() -> None:
    code = "import cloud.__main__, sys; print(sorted(m for m in sys.modules if m.startswith('torch')))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def _run(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "cloud", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
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
    with running(sys.executable, "-c", code, program, *options) as service:
        service.process.terminate()
        status, log = service.end()
    assert f"{program}: {compiled.NOT_BUILT}" in log.splitlines()
    assert status == 0
