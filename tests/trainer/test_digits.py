import io

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from trainer.data import digits


def test_split_is_stratified_and_complete() -> None:
    dataset = digits.load()
    assert (len(dataset.train), len(dataset.test)) == (1437, 360)
    counts = np.bincount(dataset.test.targets) / np.bincount(load_digits().target)
    np.testing.assert_allclose(counts, 0.2, atol=0.01)
    both = np.concatenate([dataset.train.targets, dataset.test.targets])
    np.testing.assert_array_equal(np.bincount(both), np.bincount(load_digits().target))


def test_images_are_grey_and_normalized_by_their_own_statistics() -> None:
    dataset = digits.load()
    assert dataset.train.images.shape == (1437, 32, 32, 3)
    assert (dataset.train.images == dataset.train.images[..., :1]).all()
    assert dataset.train.images.max() == 255
    x = dataset.preprocess.normalize(dataset.train.images)
    assert abs(float(x.mean())) < 0.01
    assert abs(float(x.std()) - 1) < 0.01


def test_the_same_on_every_call() -> None:
    first, second = digits.load(), digits.load()
    np.testing.assert_array_equal(first.test.images, second.test.images)
    np.testing.assert_array_equal(first.test.targets, second.test.targets)


def test_labels_and_flip() -> None:
    dataset = digits.load()
    assert dataset.labels == tuple("0123456789")
    assert not dataset.flip


def test_targets_belong_to_their_images() -> None:
    """The nearest mean image finds nine of ten digits, unless images and targets were shuffled apart."""
    dataset = digits.load()
    train, test = (
        split.images[..., 0].reshape(len(split), -1) / 255 for split in (dataset.train, dataset.test)
    )
    means = np.stack([train[dataset.train.targets == digit].mean(0) for digit in range(10)])
    nearest = ((test[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == dataset.test.targets).mean() > 0.85


def test_an_8x8_picture_served_becomes_the_pixels_trained_on() -> None:
    dataset = digits.load()
    source = load_digits()
    image = np.rint(source.images[0] * (255 / 16)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    served = dataset.preprocess(file.getvalue())
    of_class = np.concatenate(
        [split.images[split.targets == source.target[0]] for split in (dataset.train, dataset.test)]
    )
    assert (dataset.preprocess.normalize(of_class) == served).all(axis=(1, 2, 3)).any()
