"""Sizes of a U-Net, read from the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.nn.unet import UNetConfig

__all__ = ["Shapes", "UNET_PREFIXES", "read_encoder_config", "read_unet_config", "unet_prefix"]

UNET_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "")
"""Where U-Nets are in a file: in a checkpoint, or in a file of their own."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(slots=True)
class _Level:
    """Residual blocks of one level: their width, the transformer blocks behind each, and what those attend to."""

    channels: int = 0
    depths: list[int] = field(default_factory=list)
    is_outward: bool = False


def unet_prefix(shapes: Shapes) -> str | None:
    """What the keys of the file's U-Net begin with; None when there is none."""
    return next((prefix for prefix in UNET_PREFIXES if f"{prefix}input_blocks.0.0.weight" in shapes), None)


def read_unet_config(shapes: Shapes, prefix: str, head_channels: int | None, num_heads: int = 8) -> UNetConfig | None:
    """Sizes of the U-Net with transformers below `prefix`; None when there is none.

    Heads are not told by files: `head_channels` is the width of each, or None for `num_heads` of them at every width.
    """
    down = read_encoder_config(shapes, prefix, head_channels, num_heads)
    last = shapes.get(f"{prefix}out.2.weight", ())
    if down is None or not down.context_width or len(last) != 4:
        return None
    depths_up = _depths_up(shapes, prefix, len(down.channel_mult), down.num_res_blocks)
    if depths_up is None:
        return None
    is_usual_up = depths_up == tuple((depth,) * (down.num_res_blocks + 1) for depth in down.transformer_depth)
    return replace(down, out_channels=last[0], output_depths=None if is_usual_up else depths_up)


def read_encoder_config(
    shapes: Shapes, prefix: str, head_channels: int | None, num_heads: int = 8
) -> UNetConfig | None:
    """As `read_unet_config`, of the way down alone, which may be without transformers; None when there is none."""
    first = shapes.get(f"{prefix}input_blocks.0.0.weight", ())
    levels = _levels(shapes, prefix)
    if len(first) != 4 or len({len(level.depths) for level in levels}) != 1 or not levels[0].depths:
        return None
    num_blocks = len(levels[0].depths)
    depths_down = tuple(tuple(level.depths) for level in levels)
    usual = tuple(depths[-1] for depths in depths_down)
    is_usual_down = depths_down == tuple((depth,) * num_blocks for depth in usual)
    context_width, uses_linear = _context_width(shapes, prefix) or (0, False)
    label = shapes.get(f"{prefix}label_emb.0.0.weight", ())
    table = shapes.get(f"{prefix}label_emb.weight", ())
    guidance = shapes.get(f"{prefix}time_embed.cond_proj.weight", ())
    return UNetConfig(
        in_channels=first[1],
        out_channels=first[1],
        model_channels=first[0],
        channel_mult=tuple(level.channels // first[0] for level in levels),
        num_res_blocks=num_blocks,
        transformer_depth=usual,
        middle_depth=_depth(shapes, f"{prefix}middle_block.1"),
        context_width=context_width,
        num_heads=num_heads,
        head_channels=head_channels,
        uses_linear=uses_linear,
        vector_width=label[1] if len(label) == 2 else None,
        block_depths=None if is_usual_down else depths_down,
        middle_parts=_middle_parts(shapes, prefix),
        num_classes=table[0] if len(table) == 2 else None,
        outward_levels=tuple(number for number, level in enumerate(levels) if level.is_outward),
        guidance_width=guidance[1] if len(guidance) == 2 else None,
    )


def _levels(shapes: Shapes, prefix: str) -> list[_Level]:
    levels = [_Level()]
    number = 1
    while True:
        block = f"{prefix}input_blocks.{number}"
        resized = shapes.get(f"{block}.0.out_layers.3.weight")
        if resized is not None:
            levels[-1].channels = resized[0]
            levels[-1].depths.append(_depth(shapes, f"{block}.1"))
            levels[-1].is_outward |= _is_outward(shapes, f"{block}.1.transformer_blocks.0.attn1")
        elif f"{block}.0.op.weight" in shapes:
            levels.append(_Level())
        else:
            return levels
        number += 1


def _depths_up(shapes: Shapes, prefix: str, num_levels: int, num_blocks: int) -> tuple[tuple[int, ...], ...] | None:
    """By level, the finest first; None when the number of blocks is another."""
    per_level = num_blocks + 1
    count = 0
    while f"{prefix}output_blocks.{count}.0.out_layers.3.weight" in shapes:
        count += 1
    if count != num_levels * per_level:
        return None
    depths = [_depth(shapes, f"{prefix}output_blocks.{number}.1") for number in range(count)]
    starts = range(0, count, per_level)
    return tuple(tuple(depths[start : start + per_level]) for start in reversed(starts))


def _context_width(shapes: Shapes, prefix: str) -> tuple[int, bool] | None:
    """Width of what the first transformer attends to, and whether its projection is a matrix."""
    for number in range(1, 16):
        block = f"{prefix}input_blocks.{number}.1"
        key = shapes.get(f"{block}.transformer_blocks.0.attn2.to_k.weight", ())
        if len(key) == 2:
            return key[1], len(shapes.get(f"{block}.proj_in.weight", ())) == 2
    return None


def _is_outward(shapes: Shapes, attention: str) -> bool:
    """Whether a block's first attention takes its keys from tokens of another width, which only the context has."""
    key, query = (shapes.get(f"{attention}.{part}.weight", ()) for part in ("to_k", "to_q"))
    return len(key) == len(query) == 2 and key[1] != query[1]


def _middle_parts(shapes: Shapes, prefix: str) -> int:
    """Residual blocks in the middle; pruned networks have one or none."""
    places = (f"{prefix}middle_block.{place}.out_layers.3.weight" for place in range(3))
    return sum(place in shapes for place in places)


def _depth(shapes: Shapes, prefix: str) -> int:
    """Transformer blocks of the spatial transformer below `prefix`, 0 when there is none."""
    depth = 0
    while f"{prefix}.transformer_blocks.{depth}.norm1.weight" in shapes:
        depth += 1
    return depth
