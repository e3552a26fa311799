"""Small modules: `comfy_execution`, `execution`, `comfy.comfy_types`, `comfy.samplers` (lists), `latent_preview`."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypedDict

from engine.api import Blocker
from engine.compat.comfyui import EMULATED_VERSION
from engine.compat.comfyui.worker.graph_builder import GraphBuilder, Node, add_graph_prefix, is_link
from engine.compat.comfyui.worker.host import Host
from engine.compat.comfyui.worker.running import running
from engine.compat.comfyui.worker.standins.module import StandIn
from engine.compat.comfyui.worker.standins.node_classes import find_definition
from engine.compat.comfyui.worker.standins.progress import ProgressBar

__all__ = ["build"]

_KSAMPLER_INPUTS = ("sampler_name", "scheduler")


class IO(str, enum.Enum):
    """Socket type names. ANY equals every type."""

    STRING = "STRING"
    IMAGE = "IMAGE"
    MASK = "MASK"
    LATENT = "LATENT"
    BOOLEAN = "BOOLEAN"
    INT = "INT"
    FLOAT = "FLOAT"
    COMBO = "COMBO"
    CONDITIONING = "CONDITIONING"
    SAMPLER = "SAMPLER"
    SIGMAS = "SIGMAS"
    GUIDER = "GUIDER"
    NOISE = "NOISE"
    CLIP = "CLIP"
    CONTROL_NET = "CONTROL_NET"
    VAE = "VAE"
    MODEL = "MODEL"
    LORA_MODEL = "LORA_MODEL"
    LOSS_MAP = "LOSS_MAP"
    CLIP_VISION = "CLIP_VISION"
    CLIP_VISION_OUTPUT = "CLIP_VISION_OUTPUT"
    STYLE_MODEL = "STYLE_MODEL"
    GLIGEN = "GLIGEN"
    UPSCALE_MODEL = "UPSCALE_MODEL"
    AUDIO = "AUDIO"
    POINT = "POINT"
    FACE_ANALYSIS = "FACE_ANALYSIS"
    BBOX = "BBOX"
    SEGS = "SEGS"
    VIDEO = "VIDEO"
    ANY = "*"
    NUMBER = "FLOAT,INT"
    PRIMITIVE = "STRING,FLOAT,INT,BOOLEAN"

    def __ne__(self, other: object) -> bool:
        if self.value == "*" or other == "*":
            return False
        return not isinstance(other, str) or self.value != str.__str__(other)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.value == str.__str__(other)

    def __hash__(self) -> int:
        return hash(self.value)

    def __str__(self) -> str:
        return str(self.value)


class InputTypeDict(TypedDict, total=False):
    """What INPUT_TYPES returns."""

    required: dict[str, Any]
    optional: dict[str, Any]
    hidden: dict[str, Any]


class FileLocator(TypedDict):
    """A file in a UI output."""

    filename: str
    subfolder: str
    type: Literal["input", "output", "temp"]


class ComfyNodeABC:
    """A base class for classic nodes that only helps editors."""

    DESCRIPTION: str
    CATEGORY: str
    EXPERIMENTAL: bool
    DEPRECATED: bool
    API_NODE: bool | None

    @classmethod
    def INPUT_TYPES(cls) -> InputTypeDict:
        """The inputs."""
        return {"required": {}}


class CheckLazyMixin:
    """Asks for every lazy input that is connected."""

    def check_lazy_status(self, **kwargs: Any) -> list[str]:
        """The names of missing inputs."""
        return [name for name, value in kwargs.items() if value is None]


def build(host: Host) -> dict[str, StandIn]:
    """All small modules by name."""
    typing_names: Mapping[str, Any] = {
        "IO": IO, "InputTypeDict": InputTypeDict, "InputTypeOptions": dict, "HiddenInputTypeDict": dict,
        "ComfyNodeABC": ComfyNodeABC, "CheckLazyMixin": CheckLazyMixin, "FileLocator": FileLocator,
    }  # fmt: skip
    node_typing = StandIn("comfy.comfy_types.node_typing", **typing_names)
    comfy_types = StandIn("comfy.comfy_types", is_package=True, node_typing=node_typing, **typing_names)
    return {
        "comfy": StandIn("comfy", is_package=True),
        "comfy.comfy_types": comfy_types,
        "comfy.comfy_types.node_typing": node_typing,
        "comfy.samplers": _SamplersModule(host),
        "comfy_execution": StandIn("comfy_execution", is_package=True),
        "comfy_execution.graph": StandIn("comfy_execution.graph", ExecutionBlocker=Blocker),
        "comfy_execution.graph_utils": StandIn(
            "comfy_execution.graph_utils",
            GraphBuilder=GraphBuilder,
            Node=Node,
            ExecutionBlocker=Blocker,
            is_link=is_link,
            add_graph_prefix=add_graph_prefix,
        ),
        "comfy_execution.utils": StandIn("comfy_execution.utils", get_executing_context=get_executing_context),
        "execution": StandIn("execution", full_type_name=full_type_name),
        "latent_preview": StandIn(
            "latent_preview", get_previewer=lambda device, latent_format: None, prepare_callback=prepare_callback
        ),
        "comfyui_version": StandIn("comfyui_version", __version__=EMULATED_VERSION),
        "comfy_extras": StandIn("comfy_extras", is_package=True),
    }


class _SamplersModule(StandIn):
    """`comfy.samplers`: only the two lists of names, as the KSampler node offers them when first asked for.

    They are plain lists, shared by reference: packs insert names and put them straight into input declarations.
    """

    def __init__(self, host: Host) -> None:
        super().__init__("comfy.samplers")
        self.__all__ = ["KSampler", "SAMPLER_NAMES", "SCHEDULER_NAMES"]
        self._host = host

    def __getattr__(self, name: str) -> Any:
        if name not in ("KSampler", "SAMPLER_NAMES", "SCHEDULER_NAMES"):
            return super().__getattr__(name)
        samplers, schedulers = (self._choices(item) for item in _KSAMPLER_INPUTS)
        self.SAMPLER_NAMES, self.SCHEDULER_NAMES = samplers, schedulers
        members = {"SAMPLERS": samplers, "SCHEDULERS": schedulers, "__module__": "comfy.samplers"}
        self.KSampler = type("KSampler", (), members)
        return vars(self)[name]

    def _choices(self, name: str) -> list[Any]:
        definition = find_definition(self._host, "KSampler")
        choices = definition.spec.inputs_by_name[name].choices if definition is not None else ()
        return list(choices) if isinstance(choices, tuple) else []


def full_type_name(klass: type) -> str:
    """The dotted name of a class; the bare one for built-ins."""
    return klass.__qualname__ if klass.__module__ == "builtins" else f"{klass.__module__}.{klass.__qualname__}"


class ExecutingContext:
    """Which call runs."""

    def __init__(self, prompt_id: str, node_id: str, list_index: int | None) -> None:
        self.prompt_id = prompt_id
        self.node_id = node_id
        self.list_index = list_index


def get_executing_context() -> ExecutingContext | None:
    """The running call; None outside one."""
    context = running()
    return ExecutingContext(context.job_id, context.node_id, context.call_index) if context is not None else None


def prepare_callback(model: Any, steps: int, x0_output_dict: dict[str, Any] | None = None) -> Callable[..., None]:
    """A sampler callback (step, denoised, x, total) that counts steps on the running node."""
    bar = ProgressBar(steps)

    def callback(step: int, x0: Any, x: Any, total_steps: int) -> None:
        if x0_output_dict is not None:
            x0_output_dict["x0"] = x0
        bar.update_absolute(step + 1, total_steps)

    return callback
