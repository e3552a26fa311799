"""`comfy.model_management`: where things run, and cancellation. Weights are moved by the engine, not by packs."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from typing import Any

import torch

from engine.compat.comfyui.worker.host import Host
from engine.compat.comfyui.worker.standins.interrupt import (
    InterruptProcessingException,
    interrupt_current_processing,
    processing_interrupted,
    throw_exception_if_processing_interrupted,
)
from engine.compat.comfyui.worker.standins.module import StandIn
from engine.memory.device import Device, find_device, is_out_of_memory, memory_facts, release_cached_memory
from engine.memory.device import supports_bfloat16 as has_bfloat16

__all__ = ["CPUState", "VRAMState", "build"]


class VRAMState(enum.Enum):
    """How device memory is used."""

    DISABLED = 0
    NO_VRAM = 1
    LOW_VRAM = 2
    NORMAL_VRAM = 3
    HIGH_VRAM = 4
    SHARED = 5


class CPUState(enum.Enum):
    """What computes."""

    GPU = 0
    CPU = 1
    MPS = 2


_PLAN_STATES = {
    "low": VRAMState.LOW_VRAM, "none": VRAMState.NO_VRAM, "high": VRAMState.HIGH_VRAM,
    "gpu_only": VRAMState.HIGH_VRAM, "cpu": VRAMState.DISABLED,
}  # fmt: skip


class _Devices:
    """The questions packs ask about devices, answered when they are asked."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @functools.cached_property
    def _device(self) -> Device:
        name = self._host.settings.memory.device
        if name is None and self._host.settings.memory.plan == "cpu":
            name = "cpu"
        return find_device(name)

    def get_torch_device(self) -> torch.device:
        """The device networks run on."""
        if self._host.device is not None:
            return torch.device(self._host.device())
        return self._device.torch

    def cpu(self, *_: Any, **__: Any) -> torch.device:
        """The host."""
        return torch.device("cpu")

    def get_torch_device_name(self, device: Any = None) -> str:
        """A device as people read it."""
        device = torch.device(device) if device is not None else self.get_torch_device()
        return f"{device} {self._device.description}" if device.type == self._device.kind else str(device)

    def get_free_memory(self, dev: Any = None, torch_free_too: bool = False) -> Any:
        """Free bytes of a device; twice when `torch_free_too`."""
        free = memory_facts(self._facts_of(dev)).free_bytes
        return (free, free) if torch_free_too else free

    def get_total_memory(self, dev: Any = None, torch_total_too: bool = False) -> Any:
        """Total bytes of a device; twice when `torch_total_too`."""
        total = memory_facts(self._facts_of(dev)).total_bytes
        return (total, total) if torch_total_too else total

    def _facts_of(self, dev: Any) -> Device:
        return self._device if dev is None else find_device(str(torch.device(dev)))

    def should_use_fp16(self, device: Any = None, *_: Any, **__: Any) -> bool:
        """Whether half precision pays on a device."""
        precision = self._host.settings.precision
        target = torch.device(device) if device is not None else self.get_torch_device()
        if precision.force_float32:
            return False
        return precision.force_float16 or target.type in ("cuda", "xpu", "mps")

    def should_use_bf16(self, device: Any = None, *_: Any, **__: Any) -> bool:
        """Whether bfloat16 is native on a device."""
        if self._host.settings.precision.force_float32:
            return False
        return has_bfloat16(self._facts_of(device))

    def unet_dtype(self, device: Any = None, *_: Any, **__: Any) -> torch.dtype:
        """The dtype the weights of networks are held in."""
        named = self._host.settings.precision.network
        if named is not None:
            return getattr(torch, named)
        return torch.float16 if self.should_use_fp16(device) else torch.float32

    def vae_dtype(self, device: Any = None, allowed_dtypes: Any = ()) -> torch.dtype:
        """The dtype autoencoders are computed in."""
        named = self._host.settings.precision.vae
        if named is not None:
            return getattr(torch, named)
        if torch.bfloat16 in (allowed_dtypes or ()) and self.should_use_bf16(device):
            return torch.bfloat16
        return torch.float32

    def unet_manual_cast(
        self, weight_dtype: torch.dtype | None, inference_device: Any, supported_dtypes: Any = ()
    ) -> torch.dtype | None:
        """The dtype to compute in when it is not the weights' own; None when no cast is needed."""
        if weight_dtype in (None, torch.float32):
            return None
        if weight_dtype == torch.float16 and self.should_use_fp16(inference_device):
            return None
        if weight_dtype == torch.bfloat16 and self.should_use_bf16(inference_device):
            return None
        supported = tuple(supported_dtypes)
        if torch.float16 in supported and self.should_use_fp16(inference_device):
            return torch.float16
        if torch.bfloat16 in supported and self.should_use_bf16(inference_device):
            return torch.bfloat16
        return torch.float32

    def vae_device(self) -> torch.device:
        """Where autoencoders run."""
        return self.cpu() if self._host.settings.precision.vae_on_cpu else self.get_torch_device()

    def soft_empty_cache(self, force: bool = False) -> None:
        """Give unused device memory back to the driver."""
        release_cached_memory(self._device)

    def unload_all_models(self) -> None:
        """Ask the engine to give up weights that no running job holds, and empty torch's caches."""
        if self._host.unload is not None:
            self._host.unload()
        self.soft_empty_cache()

    def free_memory(self, memory_required: float, device: Any, *_: Any, **__: Any) -> list[Any]:
        """Make room on a device; the engine does so by itself, so only unused memory is given back."""
        self.soft_empty_cache()
        return []

    def vram_state(self) -> VRAMState:
        """The configured plan."""
        if self.get_torch_device().type == "cpu":
            return VRAMState.DISABLED
        return _PLAN_STATES.get(self._host.settings.memory.plan, VRAMState.NORMAL_VRAM)

    def cpu_state(self) -> CPUState:
        """What computes here."""
        kind = self.get_torch_device().type
        return {"cpu": CPUState.CPU, "mps": CPUState.MPS}.get(kind, CPUState.GPU)


class _DeviceModule(StandIn):
    """The module; facts about devices are looked up when read, never at import."""

    def __init__(self, devices: _Devices, **members: Any) -> None:
        super().__init__("comfy.model_management", **members)
        self._devices_asked = devices

    @property
    def vram_state(self) -> VRAMState:
        """The configured plan."""
        return self._devices_asked.vram_state()

    @property
    def cpu_state(self) -> CPUState:
        """What computes here."""
        return self._devices_asked.cpu_state()


def build(host: Host) -> StandIn:
    """The stand-in module."""
    devices = _Devices(host)
    return _DeviceModule(devices, **_places(devices), **_kinds(devices), **_plain_names())


def _places(devices: _Devices) -> dict[str, Any]:
    """Where things are, how much room there is, in which dtype they are computed."""
    return {
        "get_torch_device": devices.get_torch_device,
        "get_torch_device_name": devices.get_torch_device_name,
        "get_free_memory": devices.get_free_memory,
        "get_total_memory": devices.get_total_memory,
        "intermediate_device": devices.cpu,
        "unet_offload_device": devices.cpu,
        "text_encoder_offload_device": devices.cpu,
        "vae_offload_device": devices.cpu,
        "text_encoder_device": devices.get_torch_device,
        "vae_device": devices.vae_device,
        "unet_dtype": devices.unet_dtype,
        "vae_dtype": devices.vae_dtype,
        "unet_manual_cast": devices.unet_manual_cast,
        "should_use_fp16": devices.should_use_fp16,
        "should_use_bf16": devices.should_use_bf16,
        "soft_empty_cache": devices.soft_empty_cache,
        "unload_all_models": devices.unload_all_models,
        "free_memory": devices.free_memory,
        "cleanup_models": lambda *_: None,
        "cleanup_models_gc": devices.soft_empty_cache,
        "loaded_models": lambda only_currently_used=False: [],
        "current_loaded_models": [],
    }


def _kinds(devices: _Devices) -> dict[str, Any]:
    """What kind of device something is."""

    def is_kind(wanted: str) -> Callable[[Any], bool]:
        return lambda device: torch.device(device).type == wanted

    return {
        "get_autocast_device": lambda dev: torch.device(dev).type,
        "is_device_cpu": is_kind("cpu"),
        "is_device_mps": is_kind("mps"),
        "is_device_cuda": is_kind("cuda"),
        "is_nvidia": lambda: devices.get_torch_device().type == "cuda" and torch.version.cuda is not None,
        "is_amd": lambda: devices.get_torch_device().type == "cuda" and torch.version.hip is not None,
        "is_intel_xpu": lambda: devices.get_torch_device().type == "xpu",
        "device_supports_non_blocking": lambda device: torch.device(device).type in ("cuda", "xpu"),
    }


def _plain_names() -> dict[str, Any]:
    """Names that depend on no device."""
    return {
        "is_directml_enabled": lambda: False,
        "xformers_enabled": lambda: False,
        "XFORMERS_IS_AVAILABLE": False,
        "pytorch_attention_enabled": lambda: True,
        "dtype_size": lambda dtype: torch.empty((), dtype=dtype).element_size(),
        "module_size": module_size,
        "cast_to": cast_to,
        "cast_to_device": cast_to_device,
        "OOM_EXCEPTION": torch.OutOfMemoryError,
        "is_oom": is_out_of_memory,
        "VRAMState": VRAMState,
        "CPUState": CPUState,
        "InterruptProcessingException": InterruptProcessingException,
        "processing_interrupted": processing_interrupted,
        "throw_exception_if_processing_interrupted": throw_exception_if_processing_interrupted,
        "interrupt_current_processing": interrupt_current_processing,
    }


def module_size(module: torch.nn.Module) -> int:
    """Bytes of a module's state."""
    return sum(value.nelement() * value.element_size() for value in module.state_dict().values())


def cast_to(
    weight: torch.Tensor, dtype: torch.dtype | None = None, device: Any = None, non_blocking: bool = False,
    copy: bool = False,
) -> torch.Tensor:  # fmt: skip
    """A tensor in another dtype and place."""
    return weight.to(device=device, dtype=dtype, non_blocking=non_blocking, copy=copy)


def cast_to_device(tensor: torch.Tensor, device: Any, dtype: torch.dtype | None, copy: bool = False) -> torch.Tensor:
    """A tensor on a device in a dtype."""
    return tensor.to(device=device, dtype=dtype, copy=copy)
