import torch

from trainer.linear import LinearDecoder, LinearEncoder


def test_shapes_and_the_gains_place() -> None:
    encoder, decoder = LinearEncoder((6, 8, 4), 5, 2), LinearDecoder((6, 8, 4), 5, 2)
    x = torch.randn(3, 6, 8, 4)
    y = encoder(x)
    assert y.shape == (3, 5, 4, 2)
    assert decoder(y).shape == x.shape
    with torch.no_grad():
        encoder.gain[1, 0] *= 2.0
    doubled = encoder(x) / y
    torch.testing.assert_close(doubled[:, :, 1, 0], torch.full((3, 5), 2.0))
    torch.testing.assert_close(doubled[:, :, 0, 1], torch.ones(3, 5))


def test_blocks_do_not_mix() -> None:
    encoder, decoder = LinearEncoder((2, 4, 4), 8, 2), LinearDecoder((2, 4, 4), 8, 2)
    x = torch.randn(1, 2, 4, 4)
    other = x.clone()
    other[:, :, :2, :2] += 1.0
    changed = (decoder(encoder(other)) - decoder(encoder(x))).abs().amax((0, 1)) > 0
    assert changed[:2, :2].all()
    assert changed.sum() == 4
