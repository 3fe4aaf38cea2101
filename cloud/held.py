"""A bundle that the cloud holds, with all that it takes to answer for it."""

from collections.abc import Callable
from dataclasses import dataclass

from cloud.body import Body
from cloud.config import CloudConfig
from cloud.limits import rows_within
from protos import splitwire_pb2 as pb
from protos.convert import boundary_to_message, plan_to_message
from splitwire import __version__
from splitwire.bundle import Bundle
from splitwire.plan import BoundarySpec

__all__ = ["Held"]


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """uplink, downlink: the bundle's. description: what Describe says of it."""

    bundle: Bundle
    uplink: BoundarySpec
    downlink: BoundarySpec
    body: Body
    description: pb.DescribeReply

    @classmethod
    def make(
        cls, bundle: Bundle, config: CloudConfig, *, message_bytes: int, note_rows: Callable[[int], None]
    ) -> "Held":
        """With its body warmed up. May be called in any thread.

        message_bytes: the longest message that the server takes; frames may have as many rows of
        `config.max_rows` as fit. note_rows: as of `Body`.

        Raises:
            BundleError: its graph cannot be served.
            ConfigError: not one row fits.
        """
        manifest = bundle.manifest
        max_rows = rows_within(message_bytes, manifest.uplink, config.max_rows)
        body = Body(
            bundle,
            threads=config.threads,
            workers=config.workers,
            max_rows=max_rows,
            max_batch=config.max_batch,
            max_queue=config.max_queue,
            max_delay_us=config.max_delay_us,
            note_rows=note_rows,
        )
        return cls(bundle, manifest.uplink, manifest.downlink, body, _describe(bundle, max_rows))

    def __str__(self) -> str:
        return f"{self.bundle.manifest.name} {self.bundle.digest.hex()}"

    async def retire(self) -> None:
        """Finish what is in flight, then let go of threads and graph."""
        await self.body.drain()
        self.body.close()


def _describe(bundle: Bundle, max_rows: int) -> pb.DescribeReply:
    manifest = bundle.manifest
    return pb.DescribeReply(
        bundle_digest=bundle.digest,
        name=manifest.name,
        plan=plan_to_message(manifest.plan),
        uplink=boundary_to_message(manifest.uplink),
        downlink=boundary_to_message(manifest.downlink),
        server_version=__version__,
        max_rows=max_rows,
    )
