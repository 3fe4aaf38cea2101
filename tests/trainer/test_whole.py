import numpy as np

from splitwire.bundle import Bundle
from tests.bundles import SIZE
from trainer.whole import WholeNetwork


def test_every_image_is_classified_as_the_graphs_classify_it_alone(tiny_bundle: Bundle) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, generator.integers(1, 257, (130, 1, 1, 3)), (130, SIZE, SIZE, 3))
    images = images.astype(np.uint8)
    found = WholeNetwork(tiny_bundle).classify(iter(images))
    engines = [tiny_bundle.engine(role) for role in ("head", "body", "tail")]
    for image, label in zip(images, found, strict=True):
        x = tiny_bundle.manifest.preprocess.normalize(image[None])
        for engine in engines:
            x = engine.run(x)
        assert label == x.argmax()
    assert len(set(found.tolist())) > 1
