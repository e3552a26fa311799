"""The frozen settings of a process. Built once from the command line (see main.py), passed in, sent to workers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from engine.core.folders import Folders, ModelFolder

__all__ = [
    "DEFAULT_MODEL_HOSTS",
    "CacheSettings",
    "MemorySettings",
    "PackSettings",
    "PrecisionSettings",
    "Settings",
    "settings_from_json",
    "settings_to_json",
]


DEFAULT_MODEL_HOSTS = ("huggingface.co", "hf.co")
"""Where people may download models from; what the first one stores large files on is below the second."""


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """How finished values are kept. `mode` is classic, lru or none; `lru_jobs` counts the results lru keeps."""

    mode: str = "classic"
    lru_jobs: int = 0
    max_ram_bytes: int = 2 << 30
    max_disk_bytes: int = 8 << 30


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """Budgets in bytes (None: what the device has) and the plan a vram flag asks for.

    `plan` is one of auto, gpu_only, high, normal, low, none, cpu. `pinned` names weight files whose networks never make
    room for others; with `keeps_one`, a network leaves the device when another one runs.
    """

    plan: str = "auto"
    device: str | None = None
    max_vram_bytes: int | None = None
    max_ram_bytes: int | None = None
    reserve_vram_bytes: int = 0
    pinned: tuple[str, ...] = ()
    keeps_one: bool = False


@dataclass(frozen=True, slots=True)
class PrecisionSettings:
    """Requested dtypes by part, None meaning the policy decides. Names as torch spells them (float16, bfloat16 …).

    A one-byte float (float8_e4m3fn …) is what weights are held in; see `engine.memory.precision`.
    """

    network: str | None = None
    vae: str | None = None
    text_encoder: str | None = None
    force_float32: bool = False
    force_float16: bool = False
    vae_on_cpu: bool = False
    deterministic: bool = False


@dataclass(frozen=True, slots=True)
class PackSettings:
    """Which custom node packs load: all, none but `allowed`."""

    disable_all: bool = False
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a server, worker or command needs to know about how it was started."""

    folders: Folders
    listen: tuple[str, ...] = ("127.0.0.1",)
    port: int = 8188
    token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    model_hosts: tuple[str, ...] = DEFAULT_MODEL_HOSTS
    cors_origin: str | None = None
    max_upload_bytes: int = 100 << 20
    database_url: str | None = None
    front_end_root: Path | None = None
    editor_root: Path | None = None
    tls_certfile: Path | None = None
    tls_keyfile: Path | None = None
    multi_user: bool = False
    compress_responses: bool = False
    preview_method: str = "none"
    preview_size_px: int = 512
    metadata_policy: str = "full"
    allow_unsafe_pickles: bool = False
    verbosity: str = "INFO"
    num_workers: int = 1
    cancel_grace_s: float = 5.0
    history_limit: int = 10_000
    default_hashing: str = "sha256"
    cache: CacheSettings = field(default_factory=CacheSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    precision: PrecisionSettings = field(default_factory=PrecisionSettings)
    packs: PackSettings = field(default_factory=PackSettings)
    arguments: tuple[str, ...] = ()

    @property
    def metadata_enabled(self) -> bool:
        """Whether files may carry prompt and workflow. The policy "parameters" lets pictures carry plain text alone."""
        return self.metadata_policy == "full"

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the job store."""
        return self.database_url or f"sqlite:///{self.folders.data / 'atelier.sqlite3'}"


def settings_to_json(settings: Settings) -> dict[str, Any]:
    """Settings as plain JSON, for the worker process."""

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, (tuple, list)):
            return [plain(item) for item in value]
        if isinstance(value, frozenset):
            return sorted(value)
        return value

    return plain(asdict(settings))


def settings_from_json(record: dict[str, Any]) -> Settings:
    """The inverse of `settings_to_json`."""
    folders = dict(record["folders"])
    models = {
        kind: ModelFolder(tuple(map(Path, entry["paths"])), frozenset(entry["extensions"]))
        for kind, entry in folders.pop("models").items()
    }
    custom_nodes = tuple(map(Path, folders.pop("custom_nodes")))
    values: dict[str, Any] = {item.name: record[item.name] for item in fields(Settings)}
    values["folders"] = Folders(
        models=models, custom_nodes=custom_nodes, **{key: Path(value) for key, value in folders.items()}
    )
    for name in ("listen", "allowed_hosts", "model_hosts", "arguments"):
        values[name] = tuple(values[name])
    for name in ("front_end_root", "editor_root", "tls_certfile", "tls_keyfile"):
        values[name] = None if values[name] is None else Path(values[name])
    values["cache"] = CacheSettings(**values["cache"])
    values["memory"] = MemorySettings(**{**values["memory"], "pinned": tuple(values["memory"]["pinned"])})
    values["precision"] = PrecisionSettings(**values["precision"])
    values["packs"] = PackSettings(
        disable_all=values["packs"]["disable_all"], allowed=tuple(values["packs"]["allowed"])
    )
    return Settings(**values)
