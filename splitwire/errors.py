"""Every error that Splitwire raises on purpose.

SplitwireError
├── ConfigError               an option, or a combination of options, that cannot work
├── PlanError                 a split plan or boundary that no network can have
├── ImageError
│   ├── UnsupportedImage      not one of the accepted image types
│   ├── UndecodableImage      an accepted type, but broken
│   └── ImageTooLarge         more pixels than allowed
├── FrameError                a frame that the receiver refuses
│   ├── ShapeMismatch         the shape, or the symbol width, is not the boundary's
│   ├── TruncatedPayload      fewer bytes than the shape needs
│   ├── TrailingBytes         more bytes than the shape needs
│   ├── PayloadTooLarge       a declared or real size above the limit
│   └── CorruptPayload        bytes that no encoder writes
├── BundleError
│   ├── BundleNotFound        no bundle at that path
│   ├── ManifestError         a manifest that cannot be read, or that says something impossible
│   ├── FileDigestMismatch    a file is missing, or is not the one that the manifest names
│   └── GraphError            a graph that cannot be loaded, or breaks the bundle's contract
├── ReloadRefused             a bundle, sound or not, that cannot take over now
├── CloudError                the cloud did not answer with a frame
│   ├── CloudUnavailable      unreachable, or it went away
│   │   └── CloudUnreached        there was no connection within the deadline, which may have been too short
│   ├── CloudBusy             too many requests wait there already
│   ├── DeadlineExceeded      no answer in time
│   ├── BundleMismatch        the cloud serves another bundle
│   ├── CloudRefused          the cloud does not accept the edge's credentials
│   └── CloudRejected         the cloud refused the request
├── DatasetError              a dataset that is absent, incomplete or malformed
├── WeightsError              a weights file that does not fit the model
└── CheckpointError           a checkpoint that cannot be written, read or resumed
"""

__all__ = [
    "BundleError",
    "BundleMismatch",
    "BundleNotFound",
    "CheckpointError",
    "CloudBusy",
    "CloudError",
    "CloudRefused",
    "CloudRejected",
    "CloudUnavailable",
    "CloudUnreached",
    "ConfigError",
    "CorruptPayload",
    "DatasetError",
    "DeadlineExceeded",
    "FileDigestMismatch",
    "FrameError",
    "GraphError",
    "ImageError",
    "ImageTooLarge",
    "ManifestError",
    "PayloadTooLarge",
    "PlanError",
    "ReloadRefused",
    "ShapeMismatch",
    "SplitwireError",
    "TrailingBytes",
    "TruncatedPayload",
    "UndecodableImage",
    "UnsupportedImage",
    "WeightsError",
]


class SplitwireError(Exception):
    """Base of all; its text is meant to be shown to the user as it is."""


class ConfigError(SplitwireError): ...


class PlanError(SplitwireError): ...


class ImageError(SplitwireError): ...


class UnsupportedImage(ImageError): ...


class UndecodableImage(ImageError): ...


class ImageTooLarge(ImageError): ...


class FrameError(SplitwireError): ...


class ShapeMismatch(FrameError): ...


class TruncatedPayload(FrameError): ...


class TrailingBytes(FrameError): ...


class PayloadTooLarge(FrameError): ...


class CorruptPayload(FrameError): ...


class BundleError(SplitwireError): ...


class BundleNotFound(BundleError): ...


class ManifestError(BundleError): ...


class FileDigestMismatch(BundleError): ...


class GraphError(BundleError): ...


class ReloadRefused(SplitwireError): ...


class CloudError(SplitwireError): ...


class CloudUnavailable(CloudError): ...


class CloudUnreached(CloudUnavailable): ...


class CloudBusy(CloudError): ...


class DeadlineExceeded(CloudError): ...


class BundleMismatch(CloudError): ...


class CloudRefused(CloudError): ...


class CloudRejected(CloudError): ...


class DatasetError(SplitwireError): ...


class WeightsError(SplitwireError): ...


class CheckpointError(SplitwireError): ...
