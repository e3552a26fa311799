"""The forms of CLIP text encoders in files, by the names of transformers or of OpenCLIP, and their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.families.adapters.text_names import NO_NAMES, TextNames
from engine.families.text.chunks import ChunkForm
from engine.nn.text_transformer import TextConfig
from engine.weights.remap import KeyRule

__all__ = [
    "CLIP_G",
    "CLIP_H",
    "CLIP_L",
    "CLIP_RULES",
    "HARMLESS_TEXT_KEYS",
    "OPEN_CLIP_PADDING",
    "ClipKind",
    "read_clip_config",
]

_HEAD_WIDTH = 64
"""Width of one attention head in every published CLIP text encoder; files do not tell."""

OPEN_CLIP_PADDING = 0
"""OpenCLIP's encoders were trained with zeros behind the end token."""

HARMLESS_TEXT_KEYS = (
    r"(?:(?:text_model\.)?embeddings\.)?position_ids",
    r"logit_scale",
    r"attn_mask",
    r"(?:vision_model|visual|visual_projection)\..*",
)
"""Below an encoder's prefix: position numbers, the temperature of contrastive training, the causal mask, and the
encoder of pictures it was trained with."""

_LAYER = r"transformer\.resblocks\.(\d+)\."
_TARGET = r"text_model.encoder.layers.\1."

CLIP_RULES = (
    *(KeyRule(pattern, ()) for pattern in HARMLESS_TEXT_KEYS),
    KeyRule(r"((?:embeddings|encoder|final_layer_norm)\..*)", (r"text_model.\1",)),
    KeyRule(r"positional_embedding", ("text_model.embeddings.position_embedding.weight",)),
    KeyRule(r"token_embedding\.weight", ("text_model.embeddings.token_embedding.weight",)),
    KeyRule(r"ln_final\.(.*)", (r"text_model.final_layer_norm.\1",)),
    KeyRule(r"text_projection", ("text_projection.weight",), is_transposed=True),
    KeyRule(_LAYER + r"ln_([12])\.(.*)", (_TARGET + r"layer_norm\2.\3",)),
    KeyRule(
        _LAYER + r"attn\.in_proj_(weight|bias)",
        tuple(_TARGET + rf"self_attn.{part}_proj.\2" for part in ("q", "k", "v")),
    ),
    KeyRule(_LAYER + r"attn\.out_proj\.(.*)", (_TARGET + r"self_attn.out_proj.\2",)),
    KeyRule(_LAYER + r"mlp\.c_fc\.(.*)", (_TARGET + r"mlp.fc1.\2",)),
    KeyRule(_LAYER + r"mlp\.c_proj\.(.*)", (_TARGET + r"mlp.fc2.\2",)),
)
"""From either form to the network's names; some tools drop `text_model.` from those of transformers."""


@dataclass(frozen=True, slots=True)
class ClipKind:
    """What files do not tell about an encoder, and how its family uses it.

    key: its name in token batches. default_layer: layer whose output the network sees, counted from the end.
    norms_hidden: whether that goes through the final norm. num_layers: of the published encoder, if files are about
    from which the layers behind the default one were cut.
    """

    key: str
    form: ChunkForm
    activation: str
    default_layer: int = -1
    norms_hidden: bool = True
    adapter_names: TextNames = NO_NAMES
    num_layers: int | None = None

    def default_layer_of(self, num_layers: int) -> int:
        """`default_layer` in a file that has so many: diffusers leaves out the layer that is never reached."""
        is_cut = self.num_layers is not None and num_layers == self.num_layers - 1
        return self.default_layer + 1 if is_cut else self.default_layer


CLIP_L = ClipKind("l", ChunkForm(), "quick_gelu")
"""OpenAI's ViT-L/14. Source: Radford et al. 2021, arXiv:2103.00020."""

CLIP_H = ClipKind("h", ChunkForm(padding=OPEN_CLIP_PADDING), "gelu", default_layer=-2, num_layers=24)
"""OpenCLIP's ViT-H/14. Source: Cherti et al. 2022, arXiv:2212.07143."""

CLIP_G = ClipKind(
    "g", ChunkForm(padding=OPEN_CLIP_PADDING, embedding_key="clip_g"), "gelu", default_layer=-2, norms_hidden=False
)
"""OpenCLIP's ViT-bigG/14 as the XL models use it: the last layer but one, not normed."""


def read_clip_config(shapes: Mapping[str, tuple[int, ...]], prefix: str, kind: ClipKind) -> TextConfig | None:
    """Sizes of the text encoder below `prefix`, in whichever form it is stored; None without one."""
    for inside in ("text_model.", ""):
        names = (f"{inside}embeddings.token_embedding.weight", f"{inside}embeddings.position_embedding.weight")
        inner = f"{inside}encoder.layers.{{}}.mlp.fc1.weight"
        config = _read(shapes, prefix, kind, names, inner, ("text_projection.weight", 0))
        if config is not None:
            return config
    names = ("token_embedding.weight", "positional_embedding")
    return _read(shapes, prefix, kind, names, "transformer.resblocks.{}.mlp.c_fc.weight", ("text_projection", 1))


def _read(
    shapes: Mapping[str, tuple[int, ...]],
    prefix: str,
    kind: ClipKind,
    tables: tuple[str, str],
    inner: str,
    projection: tuple[str, int],
) -> TextConfig | None:
    """Sizes by the names of the token and position tables, a layer's first matrix, and the projection with its axis."""
    tokens, positions = (shapes.get(prefix + name, ()) for name in tables)
    first = shapes.get(prefix + inner.format(0), ())
    if (len(tokens), len(positions), len(first)) != (2, 2, 2):
        return None
    num_layers = 0
    while prefix + inner.format(num_layers) in shapes:
        num_layers += 1
    matrix = shapes.get(prefix + projection[0], ())
    return TextConfig(
        width=tokens[1],
        num_layers=num_layers,
        num_heads=max(1, tokens[1] // _HEAD_WIDTH),
        inner_width=first[0],
        vocabulary=tokens[0],
        max_tokens=positions[0],
        activation=kind.activation,
        projection_width=matrix[projection[1]] if len(matrix) == 2 else None,
        norms_hidden=kind.norms_hidden,
    )
