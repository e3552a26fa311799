"""Command-line flags → Settings. The server flags are those ComfyUI's start scripts use, with the same meaning."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from engine.command.model_paths import read_extra_model_paths
from engine.command.unused_flags import add_unused_flags
from engine.core.errors import SettingsError
from engine.core.folders import Folders, default_model_folders
from engine.core.settings import (
    DEFAULT_MODEL_HOSTS,
    CacheSettings,
    MemorySettings,
    PackSettings,
    PrecisionSettings,
    Settings,
)

__all__ = ["FlagParser", "add_server_flags", "settings_from_flags"]

_GIB = 1 << 30
_ENVIRONMENT_TOKEN = "ATELIER_TOKEN"

_DTYPES = {
    "network": {
        "--fp64-unet": "float64",
        "--fp32-unet": "float32",
        "--fp16-unet": "float16",
        "--bf16-unet": "bfloat16",
        "--fp8_e4m3fn-unet": "float8_e4m3fn",
        "--fp8_e5m2-unet": "float8_e5m2",
        "--fp8_e8m0fnu-unet": "float8_e8m0fnu",
    },
    "vae": {"--fp32-vae": "float32", "--fp16-vae": "float16", "--bf16-vae": "bfloat16"},
    "text_encoder": {
        "--fp32-text-enc": "float32",
        "--fp16-text-enc": "float16",
        "--bf16-text-enc": "bfloat16",
        "--fp8_e4m3fn-text-enc": "float8_e4m3fn",
        "--fp8_e5m2-text-enc": "float8_e5m2",
    },
}
_PLANS = {
    "--gpu-only": "gpu_only",
    "--highvram": "high",
    "--normalvram": "normal",
    "--lowvram": "low",
    "--novram": "none",
    "--cpu": "cpu",
}


class FlagParser(argparse.ArgumentParser):
    """An argument parser whose complaints are SettingsErrors that name the nearest known flag."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise SettingsError instead of ending the process."""
        unknown = message.partition("unrecognized arguments: ")[2]
        hint = f"See `{self.prog} --help`."
        if unknown:
            flag = unknown.split()[0].split("=")[0]
            known = [option for action in self._actions for option in action.option_strings]
            close = difflib.get_close_matches(flag, known, n=1, cutoff=0.5)
            message = f"There is no flag {flag}."
            if close:
                hint = f"Did you mean {close[0]}?"
        raise SettingsError(message[0].upper() + message[1:], hint=hint)


def add_server_flags(parser: argparse.ArgumentParser) -> None:
    """Add every server flag to `parser`."""
    _add_network_flags(parser)
    _add_folder_flags(parser)
    _add_device_flags(parser)
    behaviour = parser.add_argument_group("behaviour")
    cache = behaviour.add_mutually_exclusive_group()
    cache.add_argument("--cache-classic", action="store_true", help="keep what the newest graph uses (default)")
    cache.add_argument("--cache-lru", type=int, metavar="N", help="keep the N newest results")
    cache.add_argument("--cache-none", action="store_true", help="keep nothing between jobs")
    behaviour.add_argument(
        "--preview-method",
        choices=("none", "auto", "latent2rgb", "taesd"),
        default="none",
        help="how unfinished pictures are shown; taesd needs models/vae_approx/taesd_decoder (taesdxl_decoder …)",
    )
    behaviour.add_argument("--preview-size", type=int, default=512, metavar="PIXELS")
    behaviour.add_argument(
        "--metadata",
        choices=("none", "parameters", "full"),
        default="full",
        help="what saved pictures tell: nothing, the settings as plain text, or the graph as well (full)",
    )
    behaviour.add_argument("--disable-metadata", action="store_true", help="the same as --metadata none")
    behaviour.add_argument("--disable-all-custom-nodes", action="store_true")
    behaviour.add_argument("--whitelist-custom-nodes", nargs="+", default=[], metavar="PACK")
    behaviour.add_argument("--multi-user", action="store_true")
    behaviour.add_argument("--default-hashing-function", choices=("md5", "sha1", "sha256", "sha512"), default="sha256")
    behaviour.add_argument("--deterministic", action="store_true", help="slower kernels that repeat exactly")
    behaviour.add_argument("--allow-pickles", action="store_true", help="convert .ckpt and .pt files in a sandbox")
    behaviour.add_argument("--quick-test-for-ci", action="store_true", help="start, load every node, and exit")
    behaviour.add_argument(
        "--verbose", nargs="?", const="DEBUG", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    )
    add_unused_flags(parser)


def _add_network_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    group.add_argument("--listen", nargs="?", const="0.0.0.0,::", default="127.0.0.1", metavar="IP[,IP]")
    group.add_argument("--port", type=int, default=8188)
    group.add_argument("--token", metavar="TEXT", help=f"access token (or {_ENVIRONMENT_TOKEN} in the environment)")
    group.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME", help="further Host name to answer"
    )
    group.add_argument(
        "--model-hosts", default=",".join(DEFAULT_MODEL_HOSTS), metavar="HOST[,HOST]",
        help="where people may download models from, with all names below them; an empty text for nowhere",
    )  # fmt: skip
    group.add_argument("--tls-certfile", type=Path, metavar="PEM", help="certificate (chain) to serve HTTPS with")
    group.add_argument("--tls-keyfile", type=Path, metavar="PEM", help="its private key")
    group.add_argument("--enable-cors-header", nargs="?", const="*", metavar="ORIGIN")
    group.add_argument("--max-upload-size", type=float, default=100, metavar="MB")
    group.add_argument("--front-end-root", type=Path, metavar="DIR", help="serve this editor instead of the built-in")
    group.add_argument("--no-editor", action="store_true", help="do not build the editor; / shows the server's state")
    group.add_argument("--enable-compress-response-body", action="store_true")
    group.add_argument("--database-url", metavar="URL", help="SQLAlchemy URL of the job store")


def _add_folder_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("folders")
    for name in ("base", "output", "input", "temp", "user"):
        group.add_argument(f"--{name}-directory", type=Path, metavar="DIR")
    group.add_argument("--extra-model-paths-config", nargs="+", action="append", default=[], type=Path, metavar="YAML")


def _add_device_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("device, memory and precision")
    device = group.add_mutually_exclusive_group()
    device.add_argument("--cuda-device", type=int, metavar="N", help="the GPU to use")
    device.add_argument("--default-device", type=int, metavar="N", dest="cuda_device", help="the same")
    plans = group.add_mutually_exclusive_group()
    for flag in _PLANS:
        plans.add_argument(flag, action="store_true")
    group.add_argument("--reserve-vram", type=float, default=0.0, metavar="GB")
    group.add_argument("--max-vram", type=float, metavar="GB")
    group.add_argument("--max-ram", type=float, metavar="GB")
    group.add_argument(
        "--keep-loaded", nargs="+", default=[], metavar="FILE", help="weight files that never make room for others"
    )
    group.add_argument("--disable-smart-memory", action="store_true", help="keep one network on the device at a time")
    precision = group.add_mutually_exclusive_group()
    precision.add_argument("--force-fp32", action="store_true", help="compute everything in float32")
    precision.add_argument(
        "--force-fp16", action="store_true", help="compute networks and text encoders in float16 unless told otherwise"
    )
    group.add_argument("--cpu-vae", action="store_true", help="run the autoencoder on the CPU")
    for flags in _DTYPES.values():
        exclusive = group.add_mutually_exclusive_group()
        for flag, dtype in flags.items():
            use = "hold weights in" if dtype.startswith("float8") else "compute in"
            note = "; powers of two without a sign, for experiments" if "e8m0" in dtype else ""
            exclusive.add_argument(flag, action="store_true", help=f"{use} {dtype}{note}")


@dataclass(frozen=True, slots=True)
class _Paths:
    base: Path
    output: Path
    custom_nodes: tuple[Path, ...]


def settings_from_flags(root: Path, flags: argparse.Namespace, arguments: Sequence[str]) -> Settings:
    """Settings of parsed flags. Raises SettingsError naming the flag that cannot be used."""
    if not 0 <= flags.port <= 65535:
        raise SettingsError(f"--port {flags.port} is not a port.", hint="Use a number from 0 to 65535.")
    if flags.front_end_root is not None and not flags.front_end_root.is_dir():
        raise SettingsError(f"--front-end-root {flags.front_end_root} is not a folder.")
    if (flags.tls_certfile is None) != (flags.tls_keyfile is None):
        raise SettingsError("--tls-certfile and --tls-keyfile need each other.", hint="Give both, or neither.")
    return Settings(
        folders=_folders(root, flags),
        listen=tuple(item.strip() for item in flags.listen.split(",") if item.strip()),
        port=flags.port,
        token=flags.token or os.environ.get(_ENVIRONMENT_TOKEN) or None,
        allowed_hosts=tuple(flags.allowed_host),
        model_hosts=tuple(item.strip().lower() for item in flags.model_hosts.split(",") if item.strip()),
        cors_origin=flags.enable_cors_header,
        max_upload_bytes=int(flags.max_upload_size * (1 << 20)),
        database_url=flags.database_url,
        front_end_root=flags.front_end_root,
        tls_certfile=flags.tls_certfile,
        tls_keyfile=flags.tls_keyfile,
        multi_user=flags.multi_user,
        compress_responses=flags.enable_compress_response_body,
        preview_method=flags.preview_method,
        preview_size_px=flags.preview_size,
        metadata_policy="none" if flags.disable_metadata else flags.metadata,
        allow_unsafe_pickles=flags.allow_pickles,
        verbosity=flags.verbose,
        default_hashing=flags.default_hashing_function,
        cache=_cache(flags),
        memory=_memory(flags),
        precision=_precision(flags),
        packs=PackSettings(flags.disable_all_custom_nodes, tuple(flags.whitelist_custom_nodes)),
        arguments=tuple(arguments),
    )


def _given(flags: argparse.Namespace, table: dict[str, str]) -> str | None:
    for flag, value in table.items():
        if getattr(flags, flag.lstrip("-").replace("-", "_")):
            return value
    return None


def _cache(flags: argparse.Namespace) -> CacheSettings:
    if flags.cache_none:
        return CacheSettings("none")
    if flags.cache_lru is not None and flags.cache_lru > 0:
        return CacheSettings("lru", flags.cache_lru)
    return CacheSettings("classic")


def _memory(flags: argparse.Namespace) -> MemorySettings:
    plan = _given(flags, _PLANS) or "auto"
    device = "cpu" if plan == "cpu" else None
    if flags.cuda_device is not None:
        if plan == "cpu":
            raise SettingsError("--cpu and --cuda-device exclude each other.", hint="Give only one of them.")
        device = f"cuda:{flags.cuda_device}"

    def as_bytes(gigabytes: float | None) -> int | None:
        return None if gigabytes is None else int(gigabytes * _GIB)

    return MemorySettings(
        plan,
        device,
        as_bytes(flags.max_vram),
        as_bytes(flags.max_ram),
        int(flags.reserve_vram * _GIB),
        tuple(flags.keep_loaded),
        flags.disable_smart_memory,
    )


def _precision(flags: argparse.Namespace) -> PrecisionSettings:
    chosen = {part: _given(flags, table) for part, table in _DTYPES.items()}
    return PrecisionSettings(
        network=chosen["network"],
        vae=chosen["vae"],
        text_encoder=chosen["text_encoder"],
        force_float32=flags.force_fp32,
        force_float16=flags.force_fp16,
        vae_on_cpu=flags.cpu_vae,
        deterministic=flags.deterministic,
    )


def _folders(root: Path, flags: argparse.Namespace) -> Folders:
    base = (flags.base_directory or root).absolute()

    def chosen(name: str) -> Path:
        given = getattr(flags, f"{name}_directory")
        return (given or base / name).absolute()

    # As start scripts expect, --temp-directory names the parent of the temporary folder.
    temp = (flags.temp_directory / "temp").absolute() if flags.temp_directory else base / "temp"
    custom_nodes = (base / "custom_nodes",)
    output = chosen("output")
    folders = Folders(
        base=base,
        input=chosen("input"),
        output=output,
        temp=temp,
        user=chosen("user"),
        custom_nodes=custom_nodes,
        models=default_model_folders(base / "models", output, custom_nodes),
    )
    configs = [path for group in flags.extra_model_paths_config for path in group]
    standard = root / "extra_model_paths.yaml"
    if standard.is_file():
        configs.insert(0, standard)
    for config in configs:
        folders = read_extra_model_paths(config, folders)
    return folders
