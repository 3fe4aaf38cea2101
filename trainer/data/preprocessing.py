"""What a user may say of how images become the network's input; the rest is the data's, or the weights'."""

from dataclasses import dataclass

from splitwire.preprocess import Preprocess

__all__ = ["IMAGENET_SIZE", "PreprocessOptions", "for_photos"]

#: What public MobileNetV2 weights were trained on.
IMAGENET_SIZE = 224

#: Channel statistics of ImageNet, on pixel values scaled to 0..1; what public weights expect.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: From here on images are photographs, whose subject is in the middle: the border is cut as for ImageNet.
_LEAST_CROPPED = 64

_Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class PreprocessOptions:
    """The fields of `Preprocess` that the user chose; None: not chosen."""

    size: int | None = None
    resize: int | None = None
    mean: _Triple | None = None
    std: _Triple | None = None

    def over(self, default: Preprocess) -> Preprocess:
        """`default`, but for what was chosen. Another size without a resize scales as photos are.

        Raises:
            ConfigError: a field is out of range.
        """
        size = default.size if self.size is None else self.size
        unsaid = default.resize if size == default.size else _resize(size)
        return Preprocess(
            size=size,
            resize=unsaid if self.resize is None else self.resize,
            mean=default.mean if self.mean is None else self.mean,
            std=default.std if self.std is None else self.std,
        )


def for_photos(size: int = IMAGENET_SIZE) -> Preprocess:
    """As for ImageNet: the border cut, its statistics. Raises ConfigError for a size that cannot be."""
    return Preprocess(size=size, resize=_resize(size), mean=_MEAN, std=_STD)


def _resize(size: int) -> int:
    return round(size * 256 / 224) if size >= _LEAST_CROPPED else size
