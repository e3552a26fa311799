"""The worker's library of models: opens weight files as handles and keeps them open while they are unchanged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from engine.core.settings import Settings
from engine.diffusion.hooks import WeightHooks
from engine.families.adapters.fitting import AdapterFile, open_adapter
from engine.families.adapters.hypernetwork import HypernetworkFile, open_hypernetwork
from engine.families.autoencoder.handle import NetworkAutoencoder
from engine.families.autoencoder.opening import open_autoencoder, open_tiny_pair
from engine.families.autoencoder.pixel_space import PixelSpaceAutoencoder
from engine.families.autoencoder.preview import PreviewDecoder, open_preview_decoder
from engine.families.contract import FamilyServices, OpenedCheckpoint, Warn
from engine.families.control.opening import open_control
from engine.families.diffusers_export import DiffusersExport, diffusers_export
from engine.families.diffusers_folder import read_diffusers_folder
from engine.families.facts import FileFacts, describe_file
from engine.families.grounding.handle import NetworkGrounding
from engine.families.grounding.opening import open_grounding
from engine.families.loose_parts import open_network, open_part, open_text_encoders
from engine.families.memory_story import told
from engine.families.odd_sizes import refusing_odd_sizes
from engine.families.registry import FamilyRegistry, find_families
from engine.families.safety.handle import NetworkSafetyChecker
from engine.families.safety.opening import open_safety_checker
from engine.families.saving import autoencoder_file, checkpoint_file, extracted_adapter_file, text_encoder_files
from engine.families.text.clip_encoder import TextTools
from engine.families.text.hooked import HookedTextEncoder
from engine.families.text.textual_inversion import EmbeddingFiles
from engine.families.text.tokenizer import ClipTokenizer, vocabulary_path
from engine.families.unet.opening import with_autoencoder
from engine.families.upscaler.handle import NetworkUpscaler
from engine.families.upscaler.opening import open_upscaler
from engine.families.vision.handle import NetworkImageEncoder
from engine.families.vision.identity import NetworkIdentity, open_identity
from engine.families.vision.opening import open_image_encoder
from engine.families.vision.style import NetworkStyle, open_style
from engine.memory.device import cpu_device, find_device
from engine.memory.ledger import MemoryLedger
from engine.memory.network import NetworkHost, default_budget_bytes
from engine.memory.peaks import ActivationPeaks
from engine.memory.precision import Part, PrecisionPolicy, parse_dtype
from engine.memory.residency import MemoryMode
from engine.weights.adapters.tensors import HeldTensors
from engine.weights.checkpoint import Checkpoint, FileStamp, open_checkpoint
from engine.weights.digests import DigestStore, MemoryDigestStore, content_digest
from engine.weights.pickles import ConversionPolicy
from engine.weights.weight_file import WeightFile

__all__ = ["ModelStore", "hosts_from_settings", "model_store_from_settings"]

_STREAMING_PLANS = frozenset({"low", "none"})
_KEEPING_PLANS = frozenset({"gpu_only", "high"})


@dataclass(frozen=True, slots=True)
class _Opened:
    """Handles of a file and the checkpoints behind them."""

    stamps: tuple[FileStamp, ...]
    value: Any
    files: tuple[Checkpoint, ...]


class ModelStore:
    """Opens checkpoints and autoencoders. Thread-safe. Handles stay usable after `free`; they load again when used."""

    def __init__(
        self,
        hosts: Mapping[Part, NetworkHost],
        registry: FamilyRegistry,
        *,
        embeddings: Iterable[Path] = (),
        conversion: ConversionPolicy | None = None,
        digests: DigestStore | None = None,
    ) -> None:
        self._hosts = dict(hosts)
        self._registry = registry
        self._conversion = conversion
        self._digests = digests or MemoryDigestStore()
        self._opened: dict[tuple[str, ...], _Opened] = {}
        self._cpu: NetworkHost | None = None
        self._lock = threading.RLock()
        text = TextTools(
            _made_once(lambda vocabulary: ClipTokenizer(vocabulary_path(), vocabulary)),
            EmbeddingFiles(tuple(embeddings), self._open),
        )
        self._services = FamilyServices(self._host, text, self._digest)

    @property
    def hosts(self) -> tuple[NetworkHost, ...]:
        """The distinct hosts networks run on."""
        more = () if self._cpu is None else (self._cpu,)
        return tuple({id(host): host for host in (*self._hosts.values(), *more)}.values())

    def open_checkpoint(self, path: Path) -> tuple[Any, Any, Any]:
        """(MODEL, CLIP, VAE) of a checkpoint; a part it lacks is None. Reads headers only.

        Raises CheckpointError: missing, damaged, hostile, of an unknown layout, or with keys nothing uses.
        """

        def read(files: tuple[Checkpoint, ...]) -> tuple[Any, Any, Any]:
            match = self._registry.detect(path.name, files[0].shapes)
            opened: OpenedCheckpoint = self._registry.family(match).open(files[0], match, self._services)
            return opened.model, opened.clip, opened.vae

        return self._remember("checkpoint", (path,), read)

    def open_unclip_checkpoint(self, path: Path) -> tuple[Any, Any, Any, Any]:
        """(MODEL, CLIP, VAE, CLIP_VISION) of a checkpoint; a part it lacks is None. Raises CheckpointError."""

        def read(files: tuple[Checkpoint, ...]) -> tuple[Any, Any, Any, Any]:
            match = self._registry.detect(path.name, files[0].shapes)
            opened: OpenedCheckpoint = self._registry.family(match).open(files[0], match, self._services)
            return opened.model, opened.clip, opened.vae, opened.vision

        return self._remember("unclip", (path,), read)

    def open_hypernetwork(self, path: Path) -> HypernetworkFile:
        """The hypernetwork of a file. Raises CheckpointError."""
        return self._remember("hypernetwork", (path,), lambda files: open_hypernetwork(files[0]))

    def open_clip_vision(self, path: Path) -> NetworkImageEncoder:
        """The image encoder of a file. Raises CheckpointError."""
        return self._remember(
            "vision",
            (path,),
            lambda files: open_image_encoder(files[0], self._host("text_encoder"), lambda: self._digest(path)),
        )

    def open_style_model(self, path: Path) -> NetworkStyle:
        """The style adapter of a file. Raises CheckpointError."""
        return self._remember(
            "style", (path,), lambda files: open_style(files[0], self._host("text_encoder"), lambda: self._digest(path))
        )

    def open_photomaker(self, path: Path) -> NetworkIdentity:
        """PhotoMaker's encoder of a file. Raises CheckpointError."""
        host = self._host("text_encoder")
        return self._remember(
            "photomaker", (path,), lambda files: open_identity(files[0], host, lambda: self._digest(path))
        )

    def open_diffusion_model(self, path: Path, weight_dtype: str = "default") -> Any:
        """The MODEL of a file with a network, in published or diffusers form.

        weight_dtype: torch's name of the one-byte float its weights are held in, "default" for what the settings say.
        Raises CheckpointError as `open_checkpoint`; SettingsError for a dtype the device does not have.
        """
        storage = None if weight_dtype == "default" else parse_dtype(weight_dtype)
        if storage is not None:
            PrecisionPolicy(network=storage).refuse_unsupported(self._host("network").device)
        return self._remember(
            f"network/{weight_dtype}",
            (path,),
            lambda files: open_network(files[0], self._registry, self._services, storage),
        )

    def open_diffusers_folder(self, folder: Path) -> tuple[Any, Any, Any]:
        """(MODEL, CLIP, VAE) of a folder saved by diffusers; a part it lacks is None. Raises CheckpointError."""
        found = read_diffusers_folder(folder)

        def part(kind: Part, parts: tuple[tuple[Path, ...], ...]) -> Any:
            sizes, paths = [len(pieces) for pieces in parts], tuple(path for pieces in parts for path in pieces)
            read = partial(open_part, kind, sizes, registry=self._registry, services=self._services)
            return self._remember(f"{kind} in {sizes}", paths, read) if paths else None

        clip, vae = part("text_encoder", found.texts), part("vae", (found.vae,))
        model = with_autoencoder(part("network", (found.network,)), vae)
        return model.with_parameterization(found.parameterization(model.parameterization)), clip, vae

    def open_text_encoders(self, paths: Sequence[Path], *, on_cpu: bool = False) -> Any:
        """The CLIP of one file or of two that belong together, in either order. Raises CheckpointError."""
        services = replace(self._services, host=lambda part: self._cpu_host()) if on_cpu else self._services
        return self._remember(
            f"text/{on_cpu}", tuple(paths), lambda files: open_text_encoders(files, self._registry, services)
        )

    def open_vae(self, path: Path) -> NetworkAutoencoder:
        """The autoencoder of a VAE file or a checkpoint. Raises CheckpointError."""
        return self._remember(
            "vae", (path,), lambda files: open_autoencoder(files[0], self._host("vae"), lambda: self._digest(path))
        )

    def open_taesd(self, encoder: Path, decoder: Path) -> NetworkAutoencoder:
        """The tiny autoencoder of an encoder file and a decoder file. Raises CheckpointError."""
        return self._remember(
            "taesd",
            (encoder, decoder),
            lambda files: open_tiny_pair(files[0], files[1], self._host("vae"), lambda: self._digest(decoder)),
        )

    def open_preview_decoder(self, path: Path) -> PreviewDecoder:
        """The decoder of a tiny autoencoder, for previews. Raises CheckpointError."""
        return self._remember("preview", (path,), lambda files: open_preview_decoder(files[0], self._host("vae")))

    def open_safety_checker(self, path: Path) -> NetworkSafetyChecker:
        """The safety checker of a file. Raises CheckpointError."""
        return self._remember(
            "safety",
            (path,),
            lambda files: open_safety_checker(files[0], self._host("text_encoder"), lambda: self._digest(path)),
        )

    def pixel_space_vae(self) -> PixelSpaceAutoencoder:
        """The autoencoder of models that denoise pixels; it needs no file."""
        return PixelSpaceAutoencoder()

    def open_adapter(self, path: Path) -> AdapterFile:
        """The adapter (LoRA or kin) of a file. Raises CheckpointError."""
        return self._remember("adapter", (path,), lambda files: open_adapter(path.name, files[0]))

    def hold_adapter(self, tensors: Mapping[str, torch.Tensor]) -> AdapterFile:
        """The adapter of tensors in memory, by the keys a file would have. Raises CheckpointError."""
        return open_adapter("The LoRA", HeldTensors(tensors))

    def checkpoint_file(
        self,
        model: Any,
        clip: Any = None,
        vae: Any = None,
        *,
        title: str,
        metadata: Mapping[str, str] | None = None,
        warn: Warn | None = None,
    ) -> WeightFile:
        """The checkpoint of these handles, to be written. Raises CheckpointError."""
        return checkpoint_file(self._registry, model, clip, vae, title=title, metadata=metadata, warn=warn)

    def diffusers_export(self, model: Any, clip: Any = None, vae: Any = None) -> DiffusersExport:
        """The folder of these handles as diffusers has it, to be written. Raises CheckpointError."""
        return diffusers_export(model, clip, vae)

    def text_encoder_files(self, clip: Any, metadata: Mapping[str, str] | None = None) -> dict[str, WeightFile]:
        """A file for each text encoder, by its name, to be written. Raises CheckpointError."""
        return text_encoder_files(clip, metadata)

    def vae_file(self, vae: Any, metadata: Mapping[str, str] | None = None) -> WeightFile:
        """The file of an autoencoder, to be written. Raises CheckpointError."""
        return autoencoder_file(vae, metadata)

    def hooked_text_encoder(
        self, clip: Any, hooks: WeightHooks, *, marks: bool, is_scheduled: bool
    ) -> HookedTextEncoder:
        """The CLIP under hooks; with `marks`, what it encodes carries them, so that the network is changed too."""
        return HookedTextEncoder(clip, hooks, hooks if marks else (), is_scheduled)

    def extracted_adapter_file(self, model: Any, clip: Any, **options: Any) -> WeightFile:
        """As `engine.families.saving.extracted_adapter_file`."""
        return extracted_adapter_file(model, clip, **options)

    def open_upscaler(self, path: Path) -> NetworkUpscaler:
        """The upscaler of a file. Raises CheckpointError."""
        return self._remember(
            "upscaler",
            (path,),
            lambda files: open_upscaler(files[0], self._host("upscaler"), lambda: self._digest(path)),
        )

    def open_control(self, path: Path) -> Any:
        """The CONTROL_NET of a file: a ControlNet in any form, or a T2I-Adapter. Raises CheckpointError."""
        return self._remember(
            "control", (path,), lambda files: open_control(files[0], self._host("network"), lambda: self._digest(path))
        )

    def open_grounding(self, path: Path) -> NetworkGrounding:
        """The GLIGEN of a file. Raises CheckpointError."""
        return self._remember(
            "grounding",
            (path,),
            lambda files: open_grounding(files[0], self._host("network"), lambda: self._digest(path)),
        )

    def describe(self, path: Path, *, opens: bool = True) -> FileFacts:
        """What a weight file is; with `opens`, whether all its keys are understood too. Raises CheckpointError."""
        with self._open(path) as file:
            return describe_file(file, self._registry, self._services if opens else None)

    def content_digest(self, path: Path) -> str:
        """SHA-256 of a file, remembered for its version."""
        return self._digest(path)

    def memory_position(self) -> int:
        """Where the story of the memory stands now; `memory_story` tells what came after."""
        return self._host("network").ledger.position

    def memory_story(self, position: int) -> dict[str, Any]:
        """What happened to the weights since a position, and where they are now; see `engine.families.memory_story`."""
        return told(self.hosts, position)

    def take_held(self) -> int:
        """The most bytes a forward of the calling thread held since it was last asked for."""
        return max(ledger.take_held() for ledger in {id(host.ledger): host.ledger for host in self.hosts}.values())

    def free(self) -> None:
        """Unload all networks and forget the open files."""
        with self._lock:
            self._opened.clear()
            for host in self.hosts:
                host.free()

    def _host(self, part: Part) -> NetworkHost:
        return self._hosts[part]

    def _cpu_host(self) -> NetworkHost:
        """The text encoders' own host if that is the CPU, else one made when first needed."""
        host = self._host("text_encoder")
        if host.device.shares_host_memory:
            return host
        with self._lock:
            if self._cpu is None:
                self._cpu = NetworkHost(cpu_device(), default_budget_bytes(cpu_device()), ledger=host.ledger)
            return self._cpu

    def _digest(self, path: Path) -> str:
        return content_digest(path, self._digests)

    def _open(self, path: Path) -> Checkpoint:
        return open_checkpoint(path, self._conversion)

    def _remember(self, kind: str, paths: tuple[Path, ...], read: Callable[[tuple[Checkpoint, ...]], Any]) -> Any:
        """What `read` makes of the files, once for each version of them."""
        key = (kind, *(str(path) for path in paths))
        stamps = tuple(FileStamp.of(path) for path in paths)
        with self._lock:
            known = self._opened.get(key)
            if known is not None and known.stamps == stamps:
                return known.value
            files = tuple(self._open(path) for path in paths)
            with refusing_odd_sizes(files):
                self._opened[key] = _Opened(stamps, read(files), files)
            return self._opened[key].value


def hosts_from_settings(settings: Settings) -> dict[Part, NetworkHost]:
    """The host of each part: one device for all, or the CPU for the autoencoder when the settings say so.

    Where the device is the CPU, --max-vram and --max-ram both bind it.

    Raises SettingsError for an unknown device, or a dtype that is unknown or that the device does not have.
    """
    memory, wanted = settings.memory, settings.precision
    precision = PrecisionPolicy(
        *(None if name is None else parse_dtype(name) for name in (wanted.network, wanted.vae, wanted.text_encoder)),
        force_float32=wanted.force_float32,
        force_float16=wanted.force_float16,
    )
    device = find_device("cpu" if memory.plan == "cpu" else memory.device)
    precision.refuse_unsupported(device)
    make_host = partial(
        NetworkHost,
        precision=precision,
        mode=MemoryMode.STREAM if memory.plan in _STREAMING_PLANS else MemoryMode.KEEP,
        peaks=ActivationPeaks(settings.folders.data / "activation_peaks.json"),
        ledger=MemoryLedger(),
        pinned=memory.pinned,
        keeps_all=memory.plan in _KEEPING_PLANS,
        keeps_one=memory.keeps_one,
    )
    limits = [memory.max_vram_bytes, memory.max_ram_bytes if device.shares_host_memory else None]
    limit = min((limit for limit in limits if limit is not None), default=None)
    main = make_host(device, default_budget_bytes(device, limit, memory.reserve_vram_bytes))
    vae = main
    if wanted.vae_on_cpu and not device.shares_host_memory:
        host = cpu_device()
        vae = make_host(host, default_budget_bytes(host, memory.max_ram_bytes))
    return {"network": main, "text_encoder": main, "vae": vae, "upscaler": main}


def model_store_from_settings(
    settings: Settings, *, digests: DigestStore | None = None, extra_families: Iterable[Path] = ()
) -> ModelStore:
    """The store of a worker started with these settings."""
    folders = settings.folders
    embeddings = folders.models["embeddings"].paths if "embeddings" in folders.models else ()
    conversion = ConversionPolicy(folders.data / "converted", allow_unusual=settings.allow_unsafe_pickles)
    return ModelStore(
        hosts_from_settings(settings),
        find_families(extra_families),
        embeddings=embeddings,
        conversion=conversion,
        digests=digests,
    )


def _made_once(make: Callable[[int], ClipTokenizer]) -> Callable[[int], ClipTokenizer]:
    """Call `make` when first needed for each size of vocabulary and remember the answer."""
    return lru_cache(maxsize=None)(make)
