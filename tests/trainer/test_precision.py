import pytest
import torch

from tests.trainer.networks import make_config
from trainer.precision import bf16_warning


@pytest.mark.parametrize("supported", [False, True])
def test_only_a_cpu_that_would_emulate_it_is_warned_of(
    supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    assert bf16_warning(make_config()) is None
    assert bf16_warning(make_config(bf16=True, edge_device="cuda", cloud_device="cuda")) is None
    for devices in ({}, {"cloud_device": "cuda"}):
        warning = bf16_warning(make_config(bf16=True, **devices))
        assert (warning is None) == supported
        assert supported or "--bf16" in str(warning)


def test_torch_says_what_this_cpu_has() -> None:
    assert torch.ops.mkldnn._is_mkldnn_bf16_supported() in (False, True)
