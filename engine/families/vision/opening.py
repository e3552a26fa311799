"""Opening CLIP's image encoders, by the names of transformers or of OpenCLIP, alone or beside other parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from engine.core.digest import digest_bytes
from engine.core.errors import CheckpointError
from engine.families.autoencoder.opening import shapes_of
from engine.families.known_layouts import describe_layout
from engine.families.vision.handle import NetworkImageEncoder
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.vision_transformer import VisionTransformer, vision_config
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import KeyRule, WeightReader, read_part, refuse_unknown_keys

__all__ = ["open_image_encoder", "open_vision_part", "vision_shapes"]

_LAYER = r"visual\.transformer\.resblocks\.(\d+)\."
_TARGET = r"vision_model.encoder.layers.\1."

_TEXT_KEYS = (
    r"logit_scale", r"attn_mask", r"text_model\..*", r"text_projection(\.weight)?", r"token_embedding\.weight",
    r"positional_embedding", r"ln_final\..*", r"transformer\..*", r"vision_model\.embeddings\.position_ids",
)  # fmt: skip
"""Of the text encoder it was trained with, and the numbers of its places."""

_RULES = (
    *(KeyRule(pattern, ()) for pattern in _TEXT_KEYS),
    KeyRule(r"visual\.class_embedding", ("vision_model.embeddings.class_embedding",)),
    KeyRule(r"visual\.conv1\.weight", ("vision_model.embeddings.patch_embedding.weight",)),
    KeyRule(r"visual\.positional_embedding", ("vision_model.embeddings.position_embedding.weight",)),
    KeyRule(r"visual\.ln_pre\.(.*)", (r"vision_model.pre_layrnorm.\1",)),
    KeyRule(r"visual\.ln_post\.(.*)", (r"vision_model.post_layernorm.\1",)),
    KeyRule(r"visual\.proj", ("visual_projection.weight",), is_transposed=True),
    KeyRule(_LAYER + r"ln_([12])\.(.*)", (_TARGET + r"layer_norm\2.\3",)),
    KeyRule(
        _LAYER + r"attn\.in_proj_(weight|bias)",
        tuple(_TARGET + rf"self_attn.{part}_proj.\2" for part in ("q", "k", "v")),
    ),
    KeyRule(_LAYER + r"attn\.out_proj\.(.*)", (_TARGET + r"self_attn.out_proj.\2",)),
    KeyRule(_LAYER + r"mlp\.c_fc\.(.*)", (_TARGET + r"mlp.fc1.\2",)),
    KeyRule(_LAYER + r"mlp\.c_proj\.(.*)", (_TARGET + r"mlp.fc2.\2",)),
)

_OPEN_CLIP_KEYS = (
    (r"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"),
    (r"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
)


def vision_shapes(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> dict[str, tuple[int, ...]]:
    """The shapes that tell an encoder's sizes, by the names of transformers, from whichever form is below `prefix`."""
    inside = {key[len(prefix) :]: shape for key, shape in shapes.items() if key.startswith(prefix)}
    if "visual.conv1.weight" not in inside:
        return inside
    found = {theirs: inside[ours] for ours, theirs in _OPEN_CLIP_KEYS if ours in inside}
    number = 0
    while (shape := inside.get(f"visual.transformer.resblocks.{number}.mlp.c_fc.weight")) is not None:
        found[f"vision_model.encoder.layers.{number}.mlp.fc1.weight"] = shape
        found[f"vision_model.encoder.layers.{number}.layer_norm1.weight"] = shape[1:]
        number += 1
    if "visual.proj" in inside:
        found["visual_projection.weight"] = inside["visual.proj"][::-1]
    return found


def open_vision_part(
    checkpoint: Checkpoint, prefix: str, host: NetworkHost, digest: Callable[[], str]
) -> tuple[NetworkImageEncoder, WeightReader] | None:
    """The image encoder below `prefix` and the reader that knows its keys; None when there is none.

    Raises CheckpointError for missing or unknown keys.
    """
    config = vision_config(vision_shapes(checkpoint.shapes, prefix))
    if config is None:
        return None
    with torch.device("meta"):
        expected = shapes_of(VisionTransformer(config))
    reader = read_part(checkpoint, prefix, expected, _RULES, "image encoder")
    identity = digest_bytes(checkpoint.identity.encode(), b"vision", prefix.encode())
    source = NetworkSource(
        identity, "text_encoder", lambda: VisionTransformer(config), reader, file=checkpoint.path.name
    )
    return NetworkImageEncoder(config, source, host, digest), reader


def open_image_encoder(checkpoint: Checkpoint, host: NetworkHost, digest: Callable[[], str]) -> NetworkImageEncoder:
    """The image encoder of a file. Raises CheckpointError naming what the file holds when it has none."""
    opened = open_vision_part(checkpoint, "", host, digest)
    if opened is None:
        raise CheckpointError(
            f"{checkpoint.path.name} is {describe_layout(checkpoint.shapes)}, not an image encoder.",
            code="unknown_image_encoder",
            hint="CLIP vision L, H and bigG are read.",
        )
    handle, reader = opened
    refuse_unknown_keys(checkpoint, reader.used_keys, _TEXT_KEYS)
    return handle
