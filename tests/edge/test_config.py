from pathlib import Path
from typing import Any

import pytest

from edge.config import EdgeConfig
from splitwire.address import Address
from splitwire.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"threads": 0}, "--threads"),
        ({"deadline_ms": 0}, "--deadline-ms"),
        ({"deadline_ms": 10**9}, "--deadline-ms"),
        ({"max_image_bytes": -1}, "--max-image-bytes"),
        ({"max_concurrency": 0}, "--max-concurrency"),
        ({"cloud": (Address("localhost", 0),)}, "--cloud"),
        ({"cloud": ()}, "--cloud"),
        ({"cloud": (Address("a", 1), Address("b", 1), Address("a", 1))}, "--cloud"),
        ({"fallback": "edge"}, "--fallback"),
        ({"log_level": "loud"}, "--log-level"),
    ],
)
def test_values_out_of_range_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        EdgeConfig(Path("bundle"), **options)
