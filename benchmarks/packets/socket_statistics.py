"""What the kernel counted of the connections to one address: `ss`, of iproute2."""

import re
import subprocess
from dataclasses import astuple, dataclass

__all__ = ["Traffic", "parse", "traffic_to"]

#: IPv4, and TCP with its timestamps.
_HEADER_BYTES = 20 + 32


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes with the headers of all packets, acknowledgements among them."""

    packets_sent: float
    packets_received: float
    bytes_sent: float
    bytes_received: float

    def __sub__(self, before: "Traffic") -> "Traffic":
        return Traffic(*(now - then for now, then in zip(astuple(self), astuple(before), strict=True)))

    def __truediv__(self, count: int) -> "Traffic":
        return Traffic(*(total / count for total in astuple(self)))


def traffic_to(address: str) -> Traffic:
    """Of this machine's connections to HOST:PORT that are open.

    Raises:
        OSError: there is no `ss`.
    """
    port = address.rpartition(":")[2]
    command = ["ss", "--tcp", "--info", "--numeric", "--no-header", "dport", "=", f":{port}"]
    return parse(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def parse(text: str) -> Traffic:
    """The sum of what is in `ss --info`."""

    def total(name: str) -> int:
        return sum(map(int, re.findall(rf"\b{name}:(\d+)", text)))

    sent, received = total("segs_out"), total("segs_in")
    return Traffic(
        sent,
        received,
        total("bytes_sent") + _HEADER_BYTES * sent,
        total("bytes_received") + _HEADER_BYTES * received,
    )
