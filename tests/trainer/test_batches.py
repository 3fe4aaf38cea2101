import numpy as np
import torch

from tests.trainer.networks import SIZE, make_config, make_dataset
from trainer.batches import epoch_seed, step_seed, steps_per_epoch, training_batches

DATASET, CPU = make_dataset(), torch.device("cpu")


def test_epochs_differ_in_order_and_crops() -> None:
    config = make_config()
    first, again, second = (
        [images for images, _ in training_batches(DATASET, config, epoch, CPU)] for epoch in (0, 0, 1)
    )
    assert len(first) == steps_per_epoch(DATASET, config) == 4
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, second))
    targets = torch.cat([targets for _, targets in training_batches(DATASET, config, 0, CPU)])
    assert sorted(targets.tolist()) == sorted(DATASET.train.targets.tolist()), "every image once"


def test_what_fills_no_batch_is_left_out() -> None:
    batches = training_batches(DATASET, make_config(batch_size=12), 0, CPU)
    assert [len(targets) for _, targets in batches] == [12, 12]


def test_no_two_epochs_or_steps_have_the_same_seed() -> None:
    epochs = [epoch_seed(seed, epoch) for seed in range(5) for epoch in range(50)]
    assert len(set(epochs)) == len(epochs)
    for seed in range(3):
        steps = [step_seed(seed, epoch, step) for epoch in range(20) for step in range(20)]
        assert len(set(steps)) == len(steps)


def test_mixup_blends_images_and_labels() -> None:
    images, shares = next(training_batches(DATASET, make_config(mixup=1.0), 0, CPU))
    plain, targets = next(training_batches(DATASET, make_config(), 0, CPU))
    assert images.shape == plain.shape
    assert shares.shape == (len(targets), len(DATASET.labels))
    assert torch.equal(shares.argmax(1), targets)
    assert not torch.equal(images, plain)


def test_a_crop_area_crops() -> None:
    plain, cropped = (
        next(training_batches(DATASET, make_config(crop_area=area), 0, CPU))[0] for area in (1.0, 0.3)
    )
    assert plain.shape == cropped.shape
    assert not torch.equal(plain, cropped)


def test_cutout_blackens_a_part_of_images() -> None:
    plain, cut = (next(training_batches(DATASET, make_config(cutout=pixels), 0, CPU))[0] for pixels in (0, 4))
    black = torch.from_numpy(DATASET.preprocess.normalize(np.zeros((1, SIZE, SIZE, 3), np.uint8)))
    changed = (plain != cut).any(1, keepdim=True)
    assert torch.equal(cut, torch.where(changed, black, plain))
    assert 1 <= changed.sum((1, 2, 3)).float().mean() <= 16
