"""What the service and its methods are called on the wire."""

from protos import splitwire_pb2 as pb

__all__ = ["FORWARD_STREAM", "SERVICE"]

SERVICE = pb.DESCRIPTOR.services_by_name["SplitInference"].full_name

#: As an HTTP/2 path, for calls that are made without the stub.
FORWARD_STREAM = f"/{SERVICE}/ForwardStream"
