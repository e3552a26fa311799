"""Flags of ComfyUI's start scripts that change nothing here, and those that cannot be honoured."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from engine.core.errors import SettingsError

__all__ = ["NO_EFFECT", "REFUSED", "add_unused_flags"]

_BROWSER = "the browser is not opened by the server"
_ATTENTION = "torch's own attention picks the best kernel there is, and works in parts where it would keep all scores"
_PLAN = "weights always follow the residency plan"

NO_EFFECT = {
    "--auto-launch": _BROWSER,
    "--disable-auto-launch": _BROWSER,
    "--windows-standalone-build": _BROWSER,
    "--cuda-malloc": "torch chooses its allocator",
    "--disable-cuda-malloc": "torch chooses its allocator",
    "--use-pytorch-cross-attention": "this is the attention in use anyway",
    "--use-split-cross-attention": _ATTENTION,
    "--use-quad-cross-attention": _ATTENTION,
    "--use-sage-attention": _ATTENTION,
    "--use-flash-attention": _ATTENTION,
    "--disable-xformers": "xformers is not used",
    "--disable-dynamic-vram": _PLAN,
    "--dont-print-server": "the log level decides what is printed",
    "--log-stdout": "the log goes to standard error",
    "--disable-api-nodes": "there are no nodes that call paid services",
    "--mmap-torch-files": "weight files are always memory-mapped",
    "--disable-mmap": "weight files are always memory-mapped",
    "--disable-ipex-optimize": "ipex is not used",
    "--force-channels-last": "each network chooses its memory format",
    "--dont-upcast-attention": "attention is never upcast",
    "--force-non-blocking": "copies are asynchronous where that is safe",
    "--async-offload": "streamed weights are always copied ahead",
    "--disable-async-offload": "streamed weights are always copied ahead",
    "--disable-pinned-memory": "only the layer on its way is pinned",
    "--supports-fp8-compute": "eight-bit weights are stored, never computed in",
    "--fast": "there are no kernels that trade quality for speed",
    "--disable-manager-ui": "there is no manager of packs",
}
"""Flag → why it changes nothing; the start says so in one line each."""

REFUSED = {
    "--directml": ("DirectML is no device torch has here", "Use a CUDA, ROCm, XPU or Apple GPU, or --cpu."),
    "--oneapi-device-selector": (
        "devices are chosen before the start",
        "Set ONEAPI_DEVICE_SELECTOR in the environment, or leave the flag out.",
    ),
    "--force-upcast-attention": (
        "attention is computed in the dtype of its network",
        "Use --fp32-unet (or --force-fp32) when half precision gives black pictures.",
    ),
    "--cache-ram": (
        "the cache has a fixed budget and does not watch free memory",
        "Use --cache-classic, --cache-lru N or --cache-none.",
    ),
    "--front-end-version": (
        "no front end is downloaded",
        "Unpack one and name its folder with --front-end-root.",
    ),
    "--enable-manager": ("packs are not installed by the server", "Put packs into custom_nodes/."),
    "--enable-manager-legacy-ui": ("packs are not installed by the server", "Put packs into custom_nodes/."),
    "--comfy-api-base": ("there are no nodes that call paid services", "Leave the flag out."),
}
"""Flag → (why its meaning cannot be honoured, what to do instead)."""

_WITH_VALUES = frozenset({"--async-offload", "--fast"})


class _Refuse(argparse.Action):
    """Raises SettingsError when its flag is given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> NoReturn:
        flag = option_string or self.option_strings[0]
        reason, remedy = REFUSED[flag]
        raise SettingsError(f"{flag} is not supported: {reason}.", code="unsupported_flag", hint=remedy)


def add_unused_flags(parser: argparse.ArgumentParser) -> None:
    """Add both kinds to `parser`, so that scripts start, or learn by name why they do not."""
    group = parser.add_argument_group("flags of ComfyUI that are accepted and change nothing")
    for flag, reason in NO_EFFECT.items():
        if flag in _WITH_VALUES:
            group.add_argument(flag, nargs="*", help=reason)
        else:
            group.add_argument(flag, action="store_true", help=reason)
    for flag in REFUSED:
        group.add_argument(flag, nargs="*", action=_Refuse, help=argparse.SUPPRESS)
