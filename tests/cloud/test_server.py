import contextlib
import socket
import threading
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from protos.service import SERVICE
from splitwire.bundle import Bundle
from splitwire.errors import BundleNotFound, ConfigError
from splitwire.frame import max_payload_bytes
from tests.cloud.serving import PATIENCE, Serving, health, make_request, serving

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_is_serving(cloud: Serving, service: str) -> None:
    assert health(cloud.channel, service) == _SERVING


def test_a_health_watcher_sees_the_drain_and_does_not_hold_it(tiny_bundle: Bundle) -> None:
    with serving(tiny_bundle.path) as cloud:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        stub: Any = health_pb2_grpc.HealthStub(cloud.channel)  # its types know no methods
        watch = stub.Watch(request, timeout=PATIENCE)
        assert next(watch).status == _SERVING
        seen: SimpleQueue[int] = SimpleQueue()
        watcher = threading.Thread(target=lambda: seen.put(next(watch).status))
        watcher.start()
        cloud.drain()
        assert seen.get(timeout=PATIENCE) == _NOT_SERVING
        watcher.join()


def test_reflection_lists_the_services(cloud: Serving) -> None:
    database = ProtoReflectionDescriptorDatabase(cloud.channel)
    assert set(database.get_services()) == {
        "splitwire.v1.SplitInference",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_a_message_beyond_the_limit_is_refused_and_the_server_goes_on(
    cloud: Serving, tiny_bundle: Bundle
) -> None:
    request = make_request(tiny_bundle)
    request.frame.payload = bytes(max_payload_bytes(tiny_bundle.manifest.uplink, 8) + 5000)
    with pytest.raises(grpc.RpcError) as caught:
        cloud.stub.Forward(request, timeout=PATIENCE)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert cloud.stub.Forward(make_request(tiny_bundle), timeout=PATIENCE).HasField("frame")


def test_a_second_server_on_the_same_port_is_refused(cloud: Serving, tiny_bundle: Bundle) -> None:
    with (
        pytest.raises(ConfigError, match="Address already in use"),
        serving(tiny_bundle.path, port=cloud.server.address.port),
    ):
        pass


def test_a_missing_bundle_is_named(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleNotFound, match="nothing-here"), serving(tiny_bundle.path / "nothing-here"):
        pass


def test_connections_beyond_the_limit_are_closed_until_one_ends(tiny_bundle: Bundle) -> None:
    with serving(tiny_bundle.path, max_connections=2) as cloud, contextlib.ExitStack() as stack:
        address = (cloud.server.address.host, cloud.server.address.port)

        def speaks(connection: socket.socket) -> bool:
            connection.settimeout(PATIENCE)
            try:
                return bool(connection.recv(1))
            except ConnectionError:
                return False

        first, second, third = (stack.enter_context(socket.create_connection(address)) for _ in range(3))
        assert [speaks(connection) for connection in (first, second, third)].count(True) == 2
        for connection in (first, second, third):
            connection.close()
        assert cloud.stub.Forward(make_request(tiny_bundle), timeout=PATIENCE, wait_for_ready=True).HasField(
            "frame"
        )
