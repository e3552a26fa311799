"""`comfy.cli_args`: the flags of this process under the names packs read."""

from __future__ import annotations

import enum
from typing import Any

from engine.compat.comfyui.worker.host import Host, asking_pack
from engine.compat.comfyui.worker.standins.module import StandIn, not_emulated

__all__ = ["LatentPreviewMethod", "build"]


class LatentPreviewMethod(enum.Enum):
    """How previews of unfinished pictures are made."""

    NoPreviews = "none"
    Auto = "auto"
    Latent2RGB = "latent2rgb"
    TAESD = "taesd"

    @classmethod
    def from_string(cls, value: str) -> LatentPreviewMethod | None:
        """The method of that name, or None."""
        return next((member for member in cls if member.value == value), None)


class _Arguments:
    """Attribute access to flags; packs may set some. Unknown flags raise AttributeError."""

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(not_emulated(f"comfy.cli_args.args.{name}", asking_pack()))


def build(host: Host) -> StandIn:
    """The stand-in module."""
    settings = host.settings
    folders, memory, precision = settings.folders, settings.memory, settings.precision
    args = _Arguments(
        listen=",".join(settings.listen),
        port=settings.port,
        tls_keyfile=str(settings.tls_keyfile) if settings.tls_keyfile else None,
        tls_certfile=str(settings.tls_certfile) if settings.tls_certfile else None,
        enable_cors_header=settings.cors_origin,
        max_upload_size=settings.max_upload_bytes / (1 << 20),
        base_directory=str(folders.base),
        output_directory=str(folders.output),
        input_directory=str(folders.input),
        temp_directory=str(folders.temp),
        user_directory=str(folders.user),
        front_end_root=str(settings.front_end_root) if settings.front_end_root else None,
        disable_metadata=not settings.metadata_enabled,
        disable_all_custom_nodes=settings.packs.disable_all,
        multi_user=settings.multi_user,
        verbose=settings.verbosity,
        preview_method=LatentPreviewMethod.from_string(settings.preview_method) or LatentPreviewMethod.NoPreviews,
        preview_size=settings.preview_size_px,
        default_hashing_function=settings.default_hashing,
        cache_lru=settings.cache.lru_jobs if settings.cache.mode == "lru" else 0,
        cache_classic=settings.cache.mode == "classic",
        cache_none=settings.cache.mode == "none",
        cpu=memory.plan == "cpu",
        gpu_only=memory.plan == "gpu_only",
        highvram=memory.plan == "high",
        normalvram=memory.plan == "normal",
        lowvram=memory.plan == "low",
        novram=memory.plan == "none",
        cpu_vae=precision.vae_on_cpu,
        force_fp32=precision.force_float32,
        force_fp16=precision.force_float16,
        deterministic=precision.deterministic,
        directml=None,
        disable_auto_launch=True,
        disable_xformers=True,
        use_split_cross_attention=False,
        use_quad_cross_attention=False,
        use_pytorch_cross_attention=True,
        disable_smart_memory=False,
        windows_standalone_build=False,
        fast=set(),
    )
    return StandIn("comfy.cli_args", args=args, LatentPreviewMethod=LatentPreviewMethod)
