from copy import deepcopy

import pytest
import torch

from splitwire.plan import SplitPlan
from tests.trainer.networks import make_images, make_model
from trainer.post_training.answers import compare_answers
from trainer.post_training.distill import distill
from trainer.post_training.split import split_network


def test_what_is_kept_answers_no_worse_and_the_edge_stays() -> None:
    model, pixels = make_model(width=0.2), make_images(48, seed=3)
    unsplit = deepcopy(model)
    network, _ = split_network(model, SplitPlan(3, 1), pixels, max_drop=20.0, seed=0, progress=False)
    before = deepcopy(network.state_dict())
    found = distill(network, unsplit, pixels, steps=40, seed=0, progress=False)
    assert found.after < found.before
    assert found.improved
    assert found.held_out == 12
    after = network.state_dict()
    changed = {name.partition(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert "body" in changed
    assert changed <= {"body", "tail"}
    assert not any(parameter.requires_grad for parameter in network.parameters())
    both = torch.cat([pixels[::4], pixels[::4].flip(3)])
    with torch.no_grad():
        expected = compare_answers(unsplit(both), network(both))
    assert found.agreement.divergence == pytest.approx(found.after, rel=1e-3)
    assert found.agreement.same == pytest.approx(expected.same)
    assert found.agreement.drop == pytest.approx(expected.drop, abs=1e-2)
