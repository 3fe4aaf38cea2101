"""Requests that no edge sends, made from those that it does."""

import random
from collections.abc import Callable, Mapping, Sequence

from protos import splitwire_pb2 as pb
from splitwire.frame import MAX_ROWS, max_payload_bytes
from splitwire.plan import BoundarySpec

__all__ = ["Hostile"]

#: More than what a message may be longer than the payload in it.
_ENVELOPE_BYTES = 16 << 10

#: Of garbage. gRPC takes a tenth of a second to refuse a message that is beyond the limit.
_OVERSIZE_SHARE = 0.02

_LONG_RANDOM_BYTES = 2000


class Hostile:
    """messages: changes that leave a message. garbage: changes to its bytes, which may not.

    valid: requests that are answered with a frame. The same seed makes the same requests.
    """

    def __init__(self, valid: Sequence[pb.ForwardRequest], uplink: BoundarySpec, seed: int) -> None:
        self._valid, self._uplink = [request.SerializeToString() for request in valid], uplink
        self._random = random.Random(seed)
        self.messages: Mapping[str, Callable[[pb.ForwardRequest], None]] = {
            "flip": self._flip,
            "truncate": self._truncate,
            "extend": self._extend,
            "random payload": self._random_payload,
            "shape": self._shape,
            "digest": self._digest,
            "packing": self._packing,
            "bits": self._bits,
            "many rows": self._many_rows,
            "long payload": self._long_payload,
            "bomb": self._bomb,
            "deadline": self._deadline,
        }
        self.garbage: Mapping[str, Callable[[], bytes]] = {
            "message flipped": self._message_flipped,
            "message truncated": self._message_truncated,
            "random message": lambda: self._noise(_LONG_RANDOM_BYTES),
        }

    def message(self) -> tuple[str, pb.ForwardRequest]:
        """What was done, and the request."""
        kind = self._random.choice(list(self.messages))
        request = pb.ForwardRequest.FromString(self._random.choice(self._valid))
        self.messages[kind](request)
        return kind, request

    def garbled(self) -> tuple[str, bytes]:
        """What was done, and what is sent in a message's place."""
        if self._random.random() < _OVERSIZE_SHARE:
            return "oversize message", self._oversize()
        kind = self._random.choice(list(self.garbage))
        return kind, self.garbage[kind]()

    def _noise(self, most: int) -> bytes:
        return self._random.randbytes(self._random.randint(0, most))

    def _flip(self, request: pb.ForwardRequest) -> None:
        payload = bytearray(request.frame.payload)
        for _ in range(self._random.randint(1, 4)):
            payload[self._random.randrange(len(payload))] ^= 1 << self._random.randrange(8)
        request.frame.payload = bytes(payload)

    def _truncate(self, request: pb.ForwardRequest) -> None:
        request.frame.payload = request.frame.payload[: self._random.randrange(len(request.frame.payload))]

    def _extend(self, request: pb.ForwardRequest) -> None:
        request.frame.payload += self._random.randbytes(self._random.randint(1, 40))

    def _random_payload(self, request: pb.ForwardRequest) -> None:
        request.frame.payload = self._noise(max_payload_bytes(self._uplink, 1))
        request.frame.packing = self._random.randint(1, 4)  # type: ignore[assignment]

    def _shape(self, request: pb.ForwardRequest) -> None:
        sides = (0, 1, 2, 64, 65, 2**16, 2**31, 2**32 - 1, *self._uplink.shape)
        request.frame.shape[:] = self._random.choices(sides, k=self._random.randint(1, 6))

    def _digest(self, request: pb.ForwardRequest) -> None:
        request.bundle_digest = self._noise(16)

    def _packing(self, request: pb.ForwardRequest) -> None:
        request.frame.packing = self._random.choice((0, 1, 2, 3, 4, 5, -1, 2**31 - 1))  # type: ignore[assignment]

    def _bits(self, request: pb.ForwardRequest) -> None:
        request.frame.bits = self._random.choice((1, 2, 3, 5, 8, 9, 32, 2**32 - 1))

    def _many_rows(self, request: pb.ForwardRequest) -> None:
        request.frame.shape[:] = (self._random.choice((2, 64, 65, 2**32 - 1)), *self._uplink.shape)

    def _long_payload(self, request: pb.ForwardRequest) -> None:
        request.frame.payload = bytes(max_payload_bytes(self._uplink, 1) + 1)

    def _bomb(self, request: pb.ForwardRequest) -> None:
        """Blocks that are 128 KiB of one byte each."""
        request.frame.shape[:] = (64, *self._uplink.shape)
        request.frame.packing = self._random.randint(1, 3)  # type: ignore[assignment]
        request.frame.payload = b"\x02\x00\x10\xff" * 200 + b"\x03\x00\x10\xff"

    def _deadline(self, request: pb.ForwardRequest) -> None:
        request.timeout_ms = self._random.choice((1, 2**32 - 1))

    def _message_flipped(self) -> bytes:
        message = bytearray(self._random.choice(self._valid))
        message[self._random.randrange(len(message))] ^= 1 << self._random.randrange(8)
        return bytes(message)

    def _message_truncated(self) -> bytes:
        message = self._random.choice(self._valid)
        return message[: self._random.randrange(len(message))]

    def _oversize(self) -> bytes:
        request = pb.ForwardRequest.FromString(self._random.choice(self._valid))
        request.frame.payload = bytes(max_payload_bytes(self._uplink, MAX_ROWS) + _ENVELOPE_BYTES)
        return request.SerializeToString()
