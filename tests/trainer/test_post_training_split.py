import pytest
import torch

from splitwire.plan import SplitPlan
from tests.trainer.networks import make_images, make_model
from trainer.post_training.answers import compare_answers
from trainer.post_training.split import split_network


@pytest.mark.parametrize(
    ("plan", "max_drop"),
    [(SplitPlan(1, 0), 60.0), (SplitPlan(3, 1), 20.0), (SplitPlan(11, 2), 20.0), (SplitPlan(19, 0), 20.0)],
)
def test_a_split_network_answers_nearly_as_the_unsplit_one(plan: SplitPlan, max_drop: float) -> None:
    model, pixels = make_model(width=0.2), make_images(48, seed=3)
    with torch.no_grad():
        expected = model(pixels)
    network, chosen = split_network(model, plan, pixels, max_drop=max_drop, seed=0, progress=False)
    with torch.no_grad():
        same = compare_answers(expected, network(pixels)).same
    assert same > 45.0  # guessing: 25, and a network that is not trained minds the least error
    assert chosen.uplink.agreement.bound <= max_drop
    assert 0 < chosen.uplink.bytes < network.uplink.spec.raw_bytes
    assert network.uplink.spec.bits == 5
    assert network.downlink.off == (plan.back == 0)


def test_the_graphs_compute_what_the_network_does() -> None:
    model, pixels = make_model(width=0.2), make_images(32, seed=3)
    network, chosen = split_network(model, SplitPlan(3, 1), pixels, max_drop=60.0, seed=0, progress=False)
    graphs = network.graphs()
    with torch.no_grad():
        served = graphs["tail"](graphs["body"](graphs["head"](pixels)))
        torch.testing.assert_close(served, network(pixels))
    assert network.uplink.spec.tables is not None
    assert chosen.uplink_options.bottleneck is not None
    assert chosen.uplink_options.bottleneck.linear


def test_the_same_seed_splits_the_same() -> None:
    def split() -> dict[str, torch.Tensor]:
        network, _ = split_network(
            make_model(), SplitPlan(3, 1), make_images(32), max_drop=60.0, seed=1, progress=False
        )
        return network.state_dict()

    first, second = split(), split()
    assert all(torch.equal(first[name], second[name]) for name in first)
