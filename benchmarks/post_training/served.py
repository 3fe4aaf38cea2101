"""Photos as a camera made them, through a real edge and a real cloud, beside the unsplit network."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import service
from benchmarks.rest import EdgeConnection
from splitwire.bundle import Bundle
from splitwire.errors import DatasetError
from splitwire.preprocess import decode_image
from trainer.whole import WholeNetwork

__all__ = ["Served", "serve_originals"]


@dataclass(frozen=True, slots=True)
class Served:
    """same: of how many photos the top label was the unsplit network's. different: the other files, by name.
    uplink: mean bytes of the gRPC messages."""

    photos: int
    same: int
    different: tuple[str, ...]
    uplink: float

    def __str__(self) -> str:
        others = f"; not of {', '.join(self.different)}" if self.different else ""
        return (
            f"Through edge and cloud: {self.same} of {self.photos} photos have the unsplit network's label"
            f"{others}. Uplink {self.uplink:,.0f} B on the wire, mean."
        )


def serve_originals(bundle: Bundle, unsplit: Bundle, folder: Path) -> Served:
    """Raises DatasetError for a folder without files."""
    paths = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    if not paths:
        raise DatasetError(f"no photos in {folder}")
    files = [path.read_bytes() for path in paths]
    with (
        service("cloud", "--bundle", str(bundle.path)) as cloud,
        service("edge", "--bundle", str(bundle.path), "--cloud", cloud, "--fallback", "none") as url,
        EdgeConnection(url) as edge,
    ):
        answers = [edge.classify(file, top_k=1) for file in files]
    found = [answer["predictions"][0]["index"] for answer in answers]
    preprocess = unsplit.manifest.preprocess
    expected = WholeNetwork(unsplit).classify(preprocess.fit(decode_image(file)) for file in files)
    different = tuple(p.name for p, own, other in zip(paths, found, expected, strict=True) if own != other)
    uplink = sum(answer["bytes"]["uplink"] for answer in answers) / len(answers)
    return Served(len(paths), len(paths) - len(different), different, uplink)
