"""`comfy_api.latest.io`: socket types of the schema form, each with an `Input` and an `Output` to declare."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = [
    "SOCKET_TYPES", "AnyType", "Boolean", "Combo", "ComfyTypeIO", "ControlAfterGenerate", "Custom", "Float",
    "FolderType", "Hidden", "Input", "Int", "MultiCombo", "MultiType", "NumberDisplay", "Output", "RemoteOptions",
    "String", "UploadType", "comfytype", "socket_class",
]  # fmt: skip


class NumberDisplay(str, enum.Enum):
    """How an editor shows a number."""

    number = "number"
    slider = "slider"
    color = "color"
    gradient_slider = "gradientslider"


class UploadType(str, enum.Enum):
    """Which upload button a choice gets."""

    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class FolderType(str, enum.Enum):
    """The working folders."""

    input = "input"
    output = "output"
    temp = "temp"


class ControlAfterGenerate(str, enum.Enum):
    """What an editor does to a seed after queueing."""

    fixed = "fixed"
    increment = "increment"
    decrement = "decrement"
    randomize = "randomize"


class RemoteOptions:
    """Choices an editor fetches from a route."""

    def __init__(
        self,
        route: str,
        refresh_button: bool,
        control_after_refresh: str = "first",
        timeout: int | None = None,
        max_retries: int | None = None,
        refresh: int | None = None,
    ) -> None:
        self.values = {
            "route": route,
            "refresh_button": refresh_button,
            "control_after_refresh": control_after_refresh,
            "timeout": timeout,
            "max_retries": max_retries,
            "refresh": refresh,
        }

    def as_dict(self) -> dict[str, Any]:
        """The wire form without unset members."""
        return {key: value for key, value in self.values.items() if value is not None}


class Hidden(str, enum.Enum):
    """Values the engine fills in; read as `cls.hidden.<name>` inside a node."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"
    api_key_comfy_org = "API_KEY_COMFY_ORG"


_WIRE_NAMES = {
    "round": "round", "raw_link": "rawLink", "force_input": "forceInput", "dynamic_prompts": "dynamicPrompts",
    "display_mode": "display", "is_output_list": "",
}  # fmt: skip


class Input:
    """A declared input. `options` holds the wire options; `choices` is set for choices only."""

    def __init__(
        self,
        io_type: str,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: Mapping[str, Any] | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
        **options: Any,
    ) -> None:
        self.io_type = io_type
        self.id = id
        self.optional = optional
        self.choices: Sequence[Any] | None = None
        named = {"display_name": display_name, "tooltip": tooltip, "lazy": lazy, "raw_link": raw_link, **options}
        named["advanced"] = advanced
        self.options: dict[str, Any] = {
            _WIRE_NAMES.get(key, key): _plain(value) for key, value in named.items() if value is not None
        }
        self.options.update(extra_dict or {})

    @property
    def default(self) -> Any:
        """The declared default, or None."""
        return self.options.get("default")


class Output:
    """A declared output."""

    def __init__(
        self,
        io_type: str,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
        options: Sequence[Any] | None = None,
    ) -> None:
        self.io_type = io_type
        self.id = id
        self.display_name = display_name
        self.tooltip = tooltip
        self.is_output_list = is_output_list
        self.options = options


class ComfyTypeIO:
    """Base of all socket types: `io_type` is the wire name, `Input` and `Output` are built per type."""

    io_type = ""
    Type: Any = Any
    Input: Callable[..., Input]
    Output: Callable[..., Output]


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    return value.as_dict() if isinstance(value, RemoteOptions) else value


def socket_class(name: str, io_type: str, base: type[ComfyTypeIO] = ComfyTypeIO) -> type[ComfyTypeIO]:
    """A socket type class called `name` with its `Input` and `Output` classes."""

    class TypedInput(Input):
        """An input of this type."""

        def __init__(self, id: str, *args: Any, **options: Any) -> None:
            super().__init__(io_type, id, *args, **options)

    class TypedOutput(Output):
        """An output of this type."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(io_type, *args, **options)

    members: dict[str, Any] = {"io_type": io_type}
    members["Input"] = base.__dict__.get("Input", TypedInput)
    members["Output"] = base.__dict__.get("Output", TypedOutput)
    made: type[ComfyTypeIO] = type(name, (base,), members)
    return made


def Custom(io_type: str) -> type[ComfyTypeIO]:
    """A socket type of a pack's own."""
    return socket_class(io_type, io_type)


def comfytype(io_type: str, **_: Any) -> Callable[[type], type]:
    """Class decorator: give a class the wire name and, unless it has them, `Input` and `Output`."""

    def decorate(cls: type) -> type:
        made = socket_class(cls.__name__, io_type)
        cls.io_type = io_type  # type: ignore[attr-defined]
        for member in ("Input", "Output"):
            if member not in cls.__dict__:
                setattr(cls, member, getattr(made, member))
        return cls

    return decorate


Boolean = socket_class("Boolean", "BOOLEAN")
Int = socket_class("Int", "INT")
Float = socket_class("Float", "FLOAT")
String = socket_class("String", "STRING")
AnyType = socket_class("AnyType", "*")


class _ComboInput(Input):
    """A choice; `options` may be a list or an Enum class."""

    def __init__(
        self, id: str, options: Any = None, *args: Any, upload: Any = None, image_folder: Any = None,
        remote: RemoteOptions | None = None, **more: Any,
    ) -> None:  # fmt: skip
        super().__init__("COMBO", id, *args, remote=remote, image_folder=image_folder, **more)
        self.choices = _choices(options)
        if upload is not None:
            self.options[_plain(upload)] = True


class _MultiComboInput(_ComboInput):
    """Several choices at once."""

    def __init__(
        self, id: str, options: Any, *args: Any, placeholder: str | None = None, chip: bool | None = None, **more: Any
    ) -> None:
        super().__init__(id, options, *args, **more)
        extras = {"placeholder": placeholder, "chip": chip}
        self.options["multi_select"] = {key: value for key, value in extras.items() if value is not None}
        self.options["multiselect"] = True


class _MultiTypeInput(Input):
    """An input that takes several types; `id` may be an Input whose widget is shown."""

    def __init__(self, id: Any, types: Sequence[Any], *args: Any, **more: Any) -> None:
        names = [kind if isinstance(kind, str) else kind.io_type for kind in types]
        if isinstance(id, Input):
            more = {**more, "extra_dict": {**id.options, "widgetType": id.io_type, **(more.get("extra_dict") or {})}}
            names = [id.io_type, *(name for name in names if name != id.io_type)]
            id = id.id
        super().__init__(",".join(names), id, *args, **more)


def _choices(options: Any) -> Sequence[Any]:
    if options is None:
        return []
    if isinstance(options, enum.EnumMeta):
        return [getattr(member, "value", member) for member in options]
    return list(options) if not isinstance(options, list) else options


class _ComboBase(ComfyTypeIO):
    Input = _ComboInput


class _MultiComboBase(ComfyTypeIO):
    Input = _MultiComboInput


class _MultiTypeBase(ComfyTypeIO):
    Input = _MultiTypeInput


Combo = socket_class("Combo", "COMBO", _ComboBase)
MultiCombo = socket_class("MultiCombo", "COMBO", _MultiComboBase)
MultiType = socket_class("MultiType", "COMFY_MULTITYPED_V3", _MultiTypeBase)

SOCKET_TYPES: Mapping[str, str] = {
    "Image": "IMAGE", "Mask": "MASK", "Latent": "LATENT", "Conditioning": "CONDITIONING", "Sampler": "SAMPLER",
    "Sigmas": "SIGMAS", "Noise": "NOISE", "Guider": "GUIDER", "Clip": "CLIP", "ControlNet": "CONTROL_NET",
    "Vae": "VAE", "Model": "MODEL", "ClipVision": "CLIP_VISION", "ClipVisionOutput": "CLIP_VISION_OUTPUT",
    "StyleModel": "STYLE_MODEL", "Gligen": "GLIGEN", "UpscaleModel": "UPSCALE_MODEL", "Audio": "AUDIO",
    "Video": "VIDEO", "SVG": "SVG", "LoraModel": "LORA_MODEL", "LossMap": "LOSS_MAP", "Voxel": "VOXEL",
    "Mesh": "MESH", "Hooks": "HOOKS", "HookKeyframes": "HOOK_KEYFRAMES", "TimestepsRange": "TIMESTEPS_RANGE",
    "LatentOperation": "LATENT_OPERATION", "FlowControl": "FLOW_CONTROL", "Accumulation": "ACCUMULATION",
    "Photomaker": "PHOTOMAKER", "Point": "POINT", "FaceAnalysis": "FACE_ANALYSIS", "BBOX": "BBOX", "SEGS": "SEGS",
    "WanCameraEmbedding": "WAN_CAMERA_EMBEDDING", "Webcam": "WEBCAM", "Load3D": "LOAD_3D",
    "Load3DAnimation": "LOAD3D_ANIMATION", "Load3DCamera": "LOAD3D_CAMERA", "AudioEncoder": "AUDIO_ENCODER",
    "AudioEncoderOutput": "AUDIO_ENCODER_OUTPUT", "Tracks": "TRACKS", "ModelPatch": "MODEL_PATCH",
}  # fmt: skip
"""Plain socket types of `io` by class name."""
