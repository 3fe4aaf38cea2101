"""A split network in a few lines: which layers are where, and what crosses."""

from trainer.network import SplitNetwork

__all__ = ["outline"]


def outline(network: SplitNetwork) -> str:
    """For people."""
    lines = [f"MobileNetV2, {sum(p.numel() for p in network.parameters()):,} parameters"]
    for side, names in (
        ("head ", network.plan.head),
        ("body ", network.plan.body),
        ("tail ", network.plan.tail),
    ):
        span = "none" if not names else names[0] if len(names) == 1 else f"{names[0]} .. {names[-1]}"
        lines.append(f"  {side} {span}")
    for side, boundary in zip(("uplink  ", "downlink"), network.boundaries, strict=True):
        spec = boundary.spec
        how = "off" if boundary.off else f"keep {spec.keep:g}, {spec.bits} bits"
        if boundary.dead_zone > 0:
            how += f", dead zone {boundary.dead_zone:g}"
        shape = "x".join(str(d) for d in spec.shape)
        lines.append(f"  {side} {shape}, {how}, {spec.raw_bytes:,} B as float32")
    return "\n".join(lines)
