"""How the types in a node's signature become sockets and widgets: marks for `Annotated`, and the usual aliases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch

from engine.graph.schema import ANY_TYPE

__all__ = [
    "MAX_DIMENSION",
    "MAX_SEED",
    "AnyValue",
    "BatchSize",
    "Bool",
    "Choice",
    "Clip",
    "ClipVision",
    "ClipVisionOutput",
    "Conditioning",
    "ControlNet",
    "Dimension",
    "Each",
    "ExtraPngInfo",
    "Float",
    "Gligen",
    "Guider",
    "Hidden",
    "HookKeyframes",
    "Hooks",
    "Image",
    "InputFile",
    "Int",
    "Latent",
    "LatentOperation",
    "Lazy",
    "LoraModel",
    "LossMap",
    "Mask",
    "Model",
    "ModelFile",
    "Noise",
    "Options",
    "PhotoMaker",
    "PromptJson",
    "Range",
    "Sampler",
    "Seed",
    "Sigmas",
    "Socket",
    "String",
    "StyleModel",
    "Svg",
    "Text",
    "TimeRange",
    "UniqueId",
    "UpscaleModel",
    "Vae",
]

MAX_DIMENSION = 16384
MAX_SEED = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True)
class Socket:
    """Marks an annotated type as the socket type `type` ("IMAGE"). `is_wildcard`: fits every type."""

    type: str
    is_wildcard: bool = False


@dataclass(frozen=True)
class Range:
    """Bounds of a number, inclusive. `step` and `round` are for editors, the server checks min and max only."""

    min: float | None = None
    max: float | None = None
    step: float | None = None
    round: float | None = None


@dataclass(frozen=True)
class Options:
    """Further wire options of an input, e.g. Options(tooltip="…", control_after_generate=True, forceInput=True)."""

    values: Mapping[str, Any]

    def __init__(self, **values: Any) -> None:
        object.__setattr__(self, "values", values)

    def __hash__(self) -> int:
        return hash(tuple(sorted((key, repr(value)) for key, value in self.values.items())))


@dataclass(frozen=True)
class Text:
    """A string edited as text. `dynamic_prompts`: `{a|b}` and comments are resolved by the editor before queueing."""

    multiline: bool = False
    dynamic_prompts: bool = False
    placeholder: str = ""


@dataclass(frozen=True)
class Choice:
    """A choice out of `values` computed by the author (Literal[…] is the plain form)."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Each:
    """Makes one input of every name out of a `**parameter`, all of its type and with this default.

    For names that are no words of Python ("input_blocks.0."); the function gets them as a mapping.
    """

    names: tuple[str, ...]
    default: Any


@dataclass(frozen=True)
class ModelFile:
    """A choice out of the files of a model folder, plus fixed entries. The file's digest enters the address."""

    folder: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class InputFile:
    """A choice out of the files of a working folder. `media`: image, video, audio, a glob, "" for all, or "folders".

    `upload` adds the editor's upload button; the file's digest enters the address. Followed by a `Socket` mark, the
    input is of that type and no list is offered: the name comes from elsewhere, say from a camera ("WEBCAM").
    """

    media: str = "image"
    folder: str = "input"
    upload: bool = True


@dataclass(frozen=True)
class Hidden:
    """A value the engine fills in: UNIQUE_ID, PROMPT, EXTRA_PNGINFO, DYNPROMPT."""

    token: str


@dataclass(frozen=True)
class Lazy:
    """The link is fetched only when the node's lazy check asks for it."""


Image = Annotated[torch.Tensor, Socket("IMAGE")]
"""float32 [b h w c], c 3 or 4, values in [0, 1]."""
Mask = Annotated[torch.Tensor, Socket("MASK")]
"""float32 [b h w] (or [h w]), values in [0, 1]."""
Latent = Annotated[dict[str, Any], Socket("LATENT")]
"""{"samples": [b c h w]} plus optional "noise_mask" [b 1 h w] and "batch_index" [int]."""
LoraModel = Annotated[dict[str, torch.Tensor], Socket("LORA_MODEL")]
"""The tensors of a LoRA by the keys they have in a file."""
LossMap = Annotated[dict[str, Any], Socket("LOSS_MAP")]
"""{"loss": [one number for each step of training]}."""
LatentOperation = Annotated[Callable[..., Any], Socket("LATENT_OPERATION")]
Model = Annotated[Any, Socket("MODEL")]
Clip = Annotated[Any, Socket("CLIP")]
Vae = Annotated[Any, Socket("VAE")]
ClipVision = Annotated[Any, Socket("CLIP_VISION")]
ClipVisionOutput = Annotated[Any, Socket("CLIP_VISION_OUTPUT")]
"""Has `last_hidden_state`, `penultimate_hidden_states` [b n d] and `image_embeds` [b k]."""
StyleModel = Annotated[Any, Socket("STYLE_MODEL")]
PhotoMaker = Annotated[Any, Socket("PHOTOMAKER")]
UpscaleModel = Annotated[Any, Socket("UPSCALE_MODEL")]
Conditioning = Annotated[list[Any], Socket("CONDITIONING")]
"""List of [cross-attention tensor [b n d], dict of further entries] pairs."""
ControlNet = Annotated[Any, Socket("CONTROL_NET")]
"""A network that steers a model by a picture: a ControlNet or a T2I-Adapter."""
Gligen = Annotated[Any, Socket("GLIGEN")]
"""A network that puts phrases at places."""
Hooks = Annotated[Any, Socket("HOOKS")]
"""Changes of weights that go with a conditioning (engine.diffusion.hooks)."""
HookKeyframes = Annotated[Any, Socket("HOOK_KEYFRAMES")]
"""How the strengths of hooks follow the trajectory."""
TimeRange = Annotated[Any, Socket("TIMESTEPS_RANGE")]
"""A part of the trajectory: its start and its end, 0 pure noise, 1 the finished picture."""
Guider = Annotated[Any, Socket("GUIDER")]
Sampler = Annotated[Any, Socket("SAMPLER")]
Sigmas = Annotated[torch.Tensor, Socket("SIGMAS")]
"""Noise levels, float32 [n]."""
Noise = Annotated[Any, Socket("NOISE")]
"""Has a `seed` and `generate_noise(latent)`, which gives a tensor like the latent's samples."""
AnyValue = Annotated[Any, Socket(ANY_TYPE, is_wildcard=True)]
Svg = Annotated[list[str], Socket("SVG")]
"""SVG documents, each as its XML text."""
Int = Annotated[int, Socket("INT")]
Float = Annotated[float, Socket("FLOAT")]
String = Annotated[str, Socket("STRING")]
Bool = Annotated[bool, Socket("BOOLEAN")]
Dimension = Annotated[int, Range(16, MAX_DIMENSION, step=8)]
BatchSize = Annotated[int, Range(1, 4096)]
Seed = Annotated[int, Range(0, MAX_SEED), Options(control_after_generate=True)]
PromptJson = Annotated[Any, Hidden("PROMPT")]
ExtraPngInfo = Annotated[Any, Hidden("EXTRA_PNGINFO")]
UniqueId = Annotated[str, Hidden("UNIQUE_ID")]
