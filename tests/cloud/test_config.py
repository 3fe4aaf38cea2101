from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from cloud.config import CloudConfig
from splitwire.errors import ConfigError


def test_the_default_listens_on_loopback_only() -> None:
    assert str(CloudConfig(Path("b")).listen) == "127.0.0.1:50051"


def test_a_config_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        CloudConfig(Path("b")).threads = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("threads", 0),
        ("threads", 1025),
        ("workers", 0),
        ("workers", -1),
        ("max_rows", 0),
        ("max_rows", 65537),
        ("max_batch", 0),
        ("max_batch", 1025),
        ("max_delay_us", -1),
        ("max_delay_us", 1_000_001),
        ("max_queue", 63),
        ("max_queue", 65537),
        ("drain_seconds", -0.1),
        ("drain_seconds", float("nan")),
        ("drain_seconds", float("inf")),
        ("log_level", "loud"),
    ],
)
def test_a_value_out_of_range_names_its_option(option: str, value: object) -> None:
    options: dict[str, Any] = {option: value}
    with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')} must be .*, got"):
        CloudConfig(Path("b"), **options)
