"""A MobileNetV2 cut by a plan: head, body and tail, with a boundary at each crossing.

    training   images -> head[..., uplink] -> body[..., downlink] -> tail -> logits        (Partition)
    serving    images -> HeadGraph -> symbols -> BodyGraph -> symbols -> TailGraph -> logits

Before a boundary with a bottleneck stands an encoder; the next partition begins with its decoder.

Both run the same layers and the same boundaries; the graphs only cut each boundary in its middle, between
`quantize` and `reconstruct`.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from splitwire.plan import LAYERS, SplitPlan
from trainer.bottleneck import bottleneck_shape, make_decoder, make_encoder
from trainer.boundary import Boundary
from trainer.config import BoundaryOptions
from trainer.model import MobileNetV2

__all__ = ["BodyGraph", "HeadGraph", "Partition", "SplitNetwork", "TailGraph"]

#: Layers that end in ReLU6, or in a mean of it: their activations are never negative.
_UNSIGNED = ("stem", "conv_last")


class Partition(nn.Sequential):
    """Layers that sit on one device, run under bf16 autocast where that is set.

    The context is entered here, since it is per thread and torchgpipe runs partitions in threads of its own.
    """

    bf16 = False

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return y


class SplitNetwork(nn.Module):
    """images (N, 3, H, W) float32 -> logits (N, classes) float32, as edge and cloud together answer.

    With plan.back == 0 there is no tail, and the downlink, which carries the logits, is off.
    """

    def __init__(
        self, model: MobileNetV2, plan: SplitPlan, uplink: BoundaryOptions, downlink: BoundaryOptions
    ) -> None:
        super().__init__()
        self.model_spec, self.plan = model.spec, plan
        up = _Crossing(model, plan.head[-1], uplink)
        down = _Crossing(model, plan.body[-1], downlink if plan.back else BoundaryOptions())
        self.uplink, self.downlink = up.boundary, down.boundary
        layers = dict(model.layers.named_children())

        def chosen(names: Sequence[str]) -> dict[str, nn.Module]:
            return {name: layers[name] for name in names}

        self.head = _partition(chosen(plan.head), uplink_encoder=up.encoder, uplink=self.uplink)
        self.body = _partition(
            {"uplink_decoder": up.decoder, **chosen(plan.body)},
            downlink_encoder=down.encoder,
            downlink=self.downlink,
        )
        self.tail = _partition({"downlink_decoder": down.decoder, **chosen(plan.tail)})

    @property
    def partitions(self) -> "OrderedDict[str, Partition]":
        """The partitions that have layers, in order, by name."""
        named = (("head", self.head), ("body", self.body), ("tail", self.tail))
        return OrderedDict((name, partition) for name, partition in named if len(partition))

    @property
    def bottlenecks(self) -> tuple[str, ...]:
        """The links that have one."""
        decoders = {"uplink": (self.body, "uplink_decoder"), "downlink": (self.tail, "downlink_decoder")}
        return tuple(link for link, (partition, name) in decoders.items() if hasattr(partition, name))

    def configure(self, uplink: BoundaryOptions, downlink: BoundaryOptions) -> None:
        """A stage of the schedule, for the boundaries from here on; without a tail the downlink stays off."""
        self.uplink.configure(uplink)
        self.downlink.configure(downlink if self.plan.back else BoundaryOptions())

    def seed_gradients(self, seed: int) -> None:
        """Before each step, where gradients are compressed: what their rounding is drawn from."""
        for index, boundary in enumerate(self.boundaries):
            if boundary.gradient is not None:
                boundary.gradient.seed((2 * seed + index) % 2**63)

    def set_rate_weight(self, loss_per_bit: float) -> None:
        for boundary in self.boundaries:
            boundary.rate_weight = loss_per_bit

    def update_rates(self) -> float:
        """Renews what symbols cost, by those of the last step; the bits that these took, in all."""
        return sum(boundary.rate.update() for boundary in self.boundaries if boundary.rate is not None)

    @property
    def boundaries(self) -> tuple[Boundary, Boundary]:
        return self.uplink, self.downlink

    def set_bf16(self, enabled: bool) -> None:
        for partition in self.partitions.values():
            partition.bf16 = enabled

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.tail(self.body(self.head(images)))
        return logits.float()

    def graphs(self) -> "OrderedDict[str, nn.Module]":
        """What serving runs, by the names that the bundle uses; "tail" is absent where there is none.

        In float32, whatever `set_bf16` says of training: slices are partitions of their own.
        """
        graphs: OrderedDict[str, nn.Module] = OrderedDict(head=HeadGraph(self), body=BodyGraph(self))
        if len(self.tail):
            graphs["tail"] = TailGraph(self)
        return graphs


class HeadGraph(nn.Module):
    """images (N, 3, H, W) float32 -> uplink symbols (N, *uplink shape)."""

    def __init__(self, network: SplitNetwork) -> None:
        super().__init__()
        self.layers, self.uplink = network.head[:-1], network.uplink

    def forward(self, images: Tensor) -> Tensor:
        return self.uplink.quantize(self.layers(images).float())


class BodyGraph(nn.Module):
    """uplink symbols (N, *uplink shape) -> downlink symbols (N, *downlink shape)."""

    def __init__(self, network: SplitNetwork) -> None:
        super().__init__()
        self.uplink, self.layers, self.downlink = network.uplink, network.body[:-1], network.downlink

    def forward(self, symbols: Tensor) -> Tensor:
        return self.downlink.quantize(self.layers(self.uplink.reconstruct(symbols)).float())


class TailGraph(nn.Module):
    """downlink symbols (N, *downlink shape) -> logits (N, classes) float32."""

    def __init__(self, network: SplitNetwork) -> None:
        super().__init__()
        self.downlink, self.layers = network.downlink, network.tail[:]

    def forward(self, symbols: Tensor) -> Tensor:
        logits: Tensor = self.layers(self.downlink.reconstruct(symbols))
        return logits.float()


class _Crossing:
    """The modules at the split point behind the layer `after`: encoder and decoder only with a bottleneck."""

    encoder: nn.Module | None = None
    decoder: nn.Module | None = None

    def __init__(self, model: MobileNetV2, after: str, options: BoundaryOptions) -> None:
        shape, signed = _shape_behind(model, after), after not in _UNSIGNED
        if options.bottleneck is not None:
            self.encoder = make_encoder(shape, options.bottleneck)
            self.decoder = make_decoder(shape, options.bottleneck)
            shape, signed = bottleneck_shape(shape, options.bottleneck), True
        self.boundary = Boundary(shape, options, signed=signed)


def _partition(layers: Mapping[str, nn.Module | None], **more: nn.Module | None) -> Partition:
    return Partition(
        OrderedDict((name, module) for name, module in (*layers.items(), *more.items()) if module is not None)
    )


@torch.no_grad()
def _shape_behind(model: MobileNetV2, after: str) -> tuple[int, ...]:
    """Of one sample's activation, found by running the layers up to `after`."""
    was_training = model.training
    model.eval()
    x = torch.zeros(1, 3, model.spec.input_size, model.spec.input_size)
    for layer in list(model.layers)[: LAYERS.index(after) + 1]:
        x = layer(x)
    model.train(was_training)
    return tuple(x.shape[1:])
