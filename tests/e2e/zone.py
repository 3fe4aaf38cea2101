"""`python -m tests.e2e.zone FILE ...`: the `edge` command on a machine whose resolver reads FILE.

FILE is JSON: names and their addresses, read again for every look-up. Other names are the system's.
"""

import json
import socket
import sys
from pathlib import Path
from typing import Any

from edge.__main__ import main

__all__: list[str] = []

_system = socket.getaddrinfo


def _resolver(file: Path) -> Any:
    def getaddrinfo(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        zone = json.loads(file.read_text())
        if host not in zone:
            return _system(host, port, *rest, **named)
        if not zone[host]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in zone[host]]

    return getaddrinfo


if __name__ == "__main__":
    socket.getaddrinfo = _resolver(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
