"""Image in, label out: what one request goes through, from top to bottom."""

from edge.classification import ByteCounts, Classification, StageTimings, Stopwatch, top
from edge.route import Answer, Cloud, LocalRoute, Routes, SplitRoute
from splitwire.bundle import Bundle

__all__ = ["Pipeline"]


class Pipeline:
    """Owns the edge's graphs. `classify` may run in any number of threads at a time.

    local: whether the edge holds the body too, and answers by itself when the cloud does not. body_seconds:
    what the body's layers take here then; 0 without.

    Raises:
        GraphError: a graph cannot be loaded or run, or does not fit its manifest.
    """

    def __init__(self, bundle: Bundle, cloud: Cloud, *, threads: int = 1, local: bool = False) -> None:
        self.bundle, self.cloud = bundle, cloud
        self.falls_back = local
        self._head = bundle.engine("head", threads=threads)
        self._head.warm_up()
        fallback = LocalRoute(bundle, threads=threads) if local else None
        self.body_seconds = 0.0 if fallback is None else fallback.seconds
        self._routes = Routes(SplitRoute(bundle, cloud), fallback)
        self._tail = bundle.engine("tail", threads=threads) if bundle.manifest.plan.back else None
        if self._tail is not None:
            self._tail.warm_up()

    def classify(self, image: bytes, *, top_k: int, deadline: float) -> Classification:
        """`deadline` is a `time.monotonic()` value, and bounds the wait for the cloud.

        Raises:
            ImageError: it cannot be decoded.
            CloudError: there is no answer by the deadline, or, without a local route, none of the cloud.
            FrameError: the cloud answered with a frame that is not this bundle's downlink; likewise.
        """
        manifest, watch = self.bundle.manifest, Stopwatch()
        pixels = manifest.preprocess(image)
        watch.lap("image_decode")
        symbols = self._head.run(pixels)
        watch.lap("head")
        answer = self._routes.answer(symbols, deadline, watch)
        logits = answer.symbols if self._tail is None else self._tail.run(answer.symbols)
        watch.lap("tail")
        return Classification(
            predictions=top(logits[0], manifest.labels, top_k),
            bundle=self.bundle.digest.hex(),
            route=answer.route,
            reason=answer.reason,
            timings_ms=_timings(watch, answer),
            bytes=_bytes(len(image), manifest.uplink.raw_bytes, answer),
        )


def _timings(watch: Stopwatch, answer: Answer) -> StageTimings:
    split = answer.reply is not None
    return StageTimings(
        image_decode=watch["image_decode"],
        head=watch["head"],
        encode=watch["encode"] if split else None,
        cloud=None if answer.reply is None else answer.reply.timings,
        network=None
        if answer.reply is None
        else round(max(0.0, watch["round_trip"] - answer.reply.timings.total), 3),
        decode=watch["decode"] if split else None,
        waited=watch.get("waited"),
        body=watch.get("body"),
        tail=watch["tail"],
        total=watch.total,
    )


def _bytes(image: int, raw: int, answer: Answer) -> ByteCounts:
    reply, uplink = answer.reply, answer.uplink
    if reply is None or uplink is None:
        return ByteCounts(image, raw, None, None, None, None)
    return ByteCounts(
        image=image,
        raw_activation=raw,
        uplink=reply.uplink,
        downlink=reply.downlink,
        uplink_payload=len(uplink.payload),
        downlink_payload=len(reply.frame.payload),
    )
