"""The only door for node authors: the `node` decorator, socket types, the context, results and errors.

A node is a typed function. Its spec is derived from its signature and docstring::

    @node("EmptyLatentImage", title="Empty Latent Image", category="latent")
    def empty_latent_image(width: Dimension = 512, height: Dimension = 512, batch_size: BatchSize = 1) -> Latent:
        \"\"\"Zeros in the SD latent layout, [b 4 h/8 w/8].\"\"\"

The function stays a plain function, so a test calls it directly. Values that come in are shared with the cache and
other nodes: never modify them in place. See docs/writing-nodes.md.
"""

from engine import diffusion, imaging
from engine.api.annotations import (
    MAX_DIMENSION,
    MAX_SEED,
    AnyValue,
    BatchSize,
    Bool,
    Choice,
    Clip,
    ClipVision,
    ClipVisionOutput,
    Conditioning,
    ControlNet,
    Dimension,
    Each,
    ExtraPngInfo,
    Float,
    Gligen,
    Guider,
    Hidden,
    HookKeyframes,
    Hooks,
    Image,
    InputFile,
    Int,
    Latent,
    LatentOperation,
    Lazy,
    LoraModel,
    LossMap,
    Mask,
    Model,
    ModelFile,
    Noise,
    Options,
    PhotoMaker,
    PromptJson,
    Range,
    Sampler,
    Seed,
    Sigmas,
    Socket,
    String,
    StyleModel,
    Svg,
    Text,
    TimeRange,
    UniqueId,
    UpscaleModel,
    Vae,
)
from engine.api.context import Context, GraphExpansion, ModelLibrary, NodeResult
from engine.api.declaration import NodeDefinition, node
from engine.api.latent_preview import latent_viewer
from engine.api.picture_metadata import picture_entries
from engine.api.room import MAX_TEXT_CHARACTERS, ROOM_SHARE, require_room, require_text_room
from engine.api.training import LoraSettings, TrainedLora, Training
from engine.core.errors import AtelierError, Cancelled, NodeError
from engine.execution.events import Blocker
from engine.nn.edits.attention_map import AttentionMap
from engine.nn.edits.compiled import Compiled
from engine.nn.edits.deep_shrink import DeepShrink
from engine.nn.edits.free_u import FreeU
from engine.nn.edits.hyper_tile import HyperTile
from engine.nn.edits.identity_attention import IdentityAttention
from engine.nn.edits.token_merging import TokenMerging
from engine.weights.merge import Shares, merge_weights

__all__ = [
    "MAX_DIMENSION", "MAX_SEED", "MAX_TEXT_CHARACTERS", "ROOM_SHARE", "AnyValue", "AtelierError", "AttentionMap",
    "BatchSize", "Blocker", "Bool", "Cancelled", "Choice", "Clip", "ClipVision", "ClipVisionOutput", "Compiled",
    "Conditioning", "Context", "ControlNet", "DeepShrink", "Dimension", "Each", "ExtraPngInfo", "Float", "FreeU",
    "Gligen", "GraphExpansion", "Guider", "Hidden", "HookKeyframes", "Hooks", "HyperTile", "IdentityAttention",
    "Image", "InputFile", "Int", "Latent", "LatentOperation", "Lazy", "LoraModel", "LoraSettings", "LossMap", "Mask",
    "Model", "ModelFile", "ModelLibrary", "NodeDefinition", "NodeError", "NodeResult", "Noise", "Options",
    "PhotoMaker", "PromptJson", "Range", "Sampler", "Seed", "Shares", "Sigmas", "Socket", "String", "StyleModel", "Svg",
    "Text", "TimeRange", "TokenMerging", "TrainedLora", "Training", "UniqueId", "UpscaleModel", "Vae", "diffusion",
    "imaging", "latent_viewer", "merge_weights", "node", "picture_entries", "require_room", "require_text_room",
]  # fmt: skip
