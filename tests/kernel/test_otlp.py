import pytest

from splitwire.errors import ConfigError
from splitwire.otlp import Otlp


@pytest.mark.parametrize(
    "url", ["collector:4317", "http://", "http://collector", "ftp://a:1", "http://a:b", "http://a:1/v1?x", ""]
)
def test_what_is_no_collector_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="--otlp needs http://HOST:PORT"):
        Otlp(url)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_from_0_to_1(share: float) -> None:
    with pytest.raises(ConfigError, match="--otlp-sample must be from 0 to 1"):
        Otlp(otlp_sample=share)


def test_without_a_collector_nothing_is_exported() -> None:
    assert Otlp().open("edge") is None
    Otlp("https://collector.example:4317/")
