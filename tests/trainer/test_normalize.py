import torch
from hypothesis import given
from hypothesis import strategies as st

from splitwire.preprocess import Preprocess
from trainer.data.normalize import look_up, normalized

_STD = st.floats(0.01, 2.0)
_MEAN = st.floats(-1.0, 1.0)


@given(st.tuples(_MEAN, _MEAN, _MEAN), st.tuples(_STD, _STD, _STD), st.integers(0, 2**31))
def test_the_table_has_what_serving_computes_to_the_bit(
    mean: tuple[float, float, float], std: tuple[float, float, float], seed: int
) -> None:
    preprocess = Preprocess(8, 8, mean, std)
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (3, 8, 6, 3), generator=generator, dtype=torch.uint8)
    expected = torch.from_numpy(preprocess.normalize(pixels.numpy()))
    for found in (look_up(pixels, preprocess), normalized(pixels, preprocess)):
        assert torch.equal(found, expected)
        assert found.is_contiguous()
