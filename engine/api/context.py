"""What a running node may ask of the engine, and what it may return beyond plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from engine.api.training import Training
from engine.execution.events import Blocker

__all__ = ["Adapter", "Context", "GraphExpansion", "ModelLibrary", "NodeResult", "WritableFile"]


@dataclass(frozen=True)
class GraphExpansion:
    """A subgraph in API form, {id: {"class_type", "inputs", "override_display_id"?}}; ids unique in the whole job."""

    nodes: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class NodeResult:
    """What a node returns when plain values are not enough. As a return annotation it means: no outputs, UI only.

    Args:
        values: one per output; with `expand`, values may be links `[id, slot]` into the new nodes.
        ui: UI output, key → list.
        blocked: block every output.
        expand: new nodes to run in place of this one.
    """

    values: tuple[Any, ...] = ()
    ui: Mapping[str, list[Any]] | None = None
    blocked: Blocker | None = None
    expand: GraphExpansion | None = None


class Adapter(Protocol):
    """An opened LoRA or kin (engine.families.adapters)."""

    def apply(
        self,
        model: Any,
        clip: Any,
        strength_model: float = 1.0,
        strength_clip: float = 1.0,
        warn: Callable[[str], None] | None = None,
    ) -> tuple[Any, Any]:
        """The model and the text encoder with the adapter; either may be None. Strength 0 gives the same handle back.

        Raises CheckpointError when it was made for another kind of model.
        """
        ...


class WritableFile(Protocol):
    """A weight file that can be written (engine.weights.weight_file)."""

    def write(self, path: Path, on_tensor: Callable[[int, int], None] | None = None) -> None:
        """Write it tensor by tensor. `on_tensor`: called with how many are done, and of how many."""
        ...


class ModelLibrary(Protocol):
    """Opens weight files as immutable handles; the worker provides it (engine.families.model_store)."""

    def open_checkpoint(self, path: Path) -> tuple[Any, Any, Any]:
        """(MODEL, CLIP, VAE) of a checkpoint; CLIP or VAE None when the file has none. Raises CheckpointError."""
        ...

    def open_unclip_checkpoint(self, path: Path) -> tuple[Any, Any, Any, Any]:
        """As `open_checkpoint`, with the CLIP_VISION of models that need one. Raises CheckpointError."""
        ...

    def open_hypernetwork(self, path: Path) -> Any:
        """The hypernetwork of a file: `apply(model, strength)`. Raises CheckpointError."""
        ...

    def open_clip_vision(self, path: Path) -> Any:
        """The CLIP_VISION of a file: `encode(image, crop)`. Raises CheckpointError."""
        ...

    def open_style_model(self, path: Path) -> Any:
        """The STYLE_MODEL of a file: `tokens(clip_vision_output)`. Raises CheckpointError."""
        ...

    def open_photomaker(self, path: Path) -> Any:
        """The PHOTOMAKER of a file: `fused(image, tokens)`. Raises CheckpointError."""
        ...

    def open_diffusion_model(self, path: Path, weight_dtype: str = "default") -> Any:
        """The MODEL of a file with a network alone, or of a checkpoint; a `weight_dtype` such as "float8_e4m3fn".

        Raises CheckpointError, and SettingsError for a dtype the device does not have.
        """
        ...

    def open_diffusers_folder(self, folder: Path) -> tuple[Any, Any, Any]:
        """(MODEL, CLIP, VAE) of a folder saved by diffusers. Raises CheckpointError."""
        ...

    def open_text_encoders(self, paths: Sequence[Path], *, on_cpu: bool = False) -> Any:
        """The CLIP of one file or of two that belong together, in either order. Raises CheckpointError."""
        ...

    def open_vae(self, path: Path) -> Any:
        """The VAE of a file that holds (at least) one. Raises CheckpointError."""
        ...

    def open_taesd(self, encoder: Path, decoder: Path) -> Any:
        """The tiny autoencoder of an encoder file and a decoder file. Raises CheckpointError."""
        ...

    def open_adapter(self, path: Path) -> Adapter:
        """The adapter (LoRA or kin) of a file. Raises CheckpointError."""
        ...

    def hold_adapter(self, tensors: Mapping[str, torch.Tensor]) -> Adapter:
        """The adapter of tensors in memory, by the keys a file would have. Raises CheckpointError."""
        ...

    def checkpoint_file(
        self,
        model: Any,
        clip: Any = None,
        vae: Any = None,
        *,
        title: str,
        metadata: Mapping[str, str] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> WritableFile:
        """The checkpoint of these handles with their patches; clip and vae may be None. Raises CheckpointError."""
        ...

    def text_encoder_files(self, clip: Any, metadata: Mapping[str, str] | None = None) -> Mapping[str, WritableFile]:
        """A file for each text encoder of a CLIP, by its name ("clip_l"). Raises CheckpointError."""
        ...

    def vae_file(self, vae: Any, metadata: Mapping[str, str] | None = None) -> WritableFile:
        """The file of a VAE. Raises CheckpointError."""
        ...

    def hooked_text_encoder(self, clip: Any, hooks: Any, *, marks: bool, is_scheduled: bool) -> Any:
        """The CLIP under hooks; with `marks`, what it encodes carries them; `is_scheduled`: it encodes in stages."""
        ...

    def extracted_adapter_file(
        self,
        model: Any,
        clip: Any,
        *,
        rank: int,
        kind: Literal["standard", "full_diff"],
        biases: bool,
        metadata: Mapping[str, str] | None = None,
    ) -> WritableFile:
        """The adapter that adds the weights of a MODEL and a CLIP, differences of two; either may be None.

        Raises CheckpointError when there is neither.
        """
        ...

    def open_preview_decoder(self, path: Path) -> Any:
        """The decoder of a tiny autoencoder, for previews: `picture(latent)`. Raises CheckpointError."""
        ...

    def open_safety_checker(self, path: Path) -> Any:
        """The SAFETY_CHECKER of a file: `check(image)`. Raises CheckpointError."""
        ...

    def content_digest(self, path: Path) -> str:
        """SHA-256 of a weight file, 64 hexadecimal digits, computed once for each version. Raises CheckpointError."""
        ...

    def open_upscaler(self, path: Path) -> Any:
        """The upscaler of a file: `scale` and `upscale(image, on_tile)`. Raises CheckpointError."""
        ...

    def open_control(self, path: Path) -> Any:
        """The CONTROL_NET of a file: `with_kind(number)`, `on_base(model)`. Raises CheckpointError."""
        ...

    def open_grounding(self, path: Path) -> Any:
        """The GLIGEN of a file. Raises CheckpointError."""
        ...

    def pixel_space_vae(self) -> Any:
        """The VAE whose latents are the pictures themselves, in [-1, 1]; it needs no file."""
        ...


class Context(Protocol):
    """What a running node may ask of the engine. A parameter annotated `Context` receives it."""

    @property
    def job_id(self) -> str:
        """The job this call belongs to."""
        ...

    @property
    def node_id(self) -> str:
        """The node being run (generated nodes: their own id)."""
        ...

    @property
    def call_index(self) -> int:
        """Which call of the node this is: 0, or the list item's number when inputs are lists."""
        ...

    @property
    def client_id(self) -> str | None:
        """Who submitted the job, or None."""
        ...

    @property
    def models(self) -> ModelLibrary:
        """Opens weight files."""
        ...

    @property
    def training(self) -> Training:
        """Trains LoRAs."""
        ...

    @property
    def metadata_enabled(self) -> bool:
        """False when files must be written without prompt and workflow (`--metadata`)."""
        ...

    @property
    def metadata_policy(self) -> str:
        """What pictures may tell of how they were made: none, parameters (plain text) or full (the graph as well)."""
        ...

    @property
    def preview_method(self) -> str:
        """How previews of the job are made: none, auto, latent2rgb or taesd."""
        ...

    def check_cancelled(self) -> None:
        """Raise Cancelled when the job is to stop."""
        ...

    def progress(
        self,
        value: float,
        maximum: float,
        preview: torch.Tensor | Callable[[], torch.Tensor | None] | None = None,
    ) -> None:
        """Report progress, with an optional preview image [h w c]; also checks for cancellation.

        A function that makes the image is called elsewhere and only if the image is going to be shown: at most four
        times a second, and never while the last one is still being made.
        """
        ...

    def send_image(self, image: torch.Tensor, index: int, total: int) -> None:
        """Send a full-size image [h w c] to the client's socket as PNG."""
        ...

    def text(self, text: str) -> None:
        """Show a line of text on the node."""
        ...

    def warn(self, message: str) -> None:
        """Record a warning in the job's log."""
        ...

    def model_path(self, folder: str, name: str) -> Path:
        """The weight file called `name`. Raises NodeError naming the folder when it is missing."""
        ...

    def input_path(self, name: str) -> Path:
        """The contained path of an input-folder file; understands ` [output]` and ` [temp]` endings."""
        ...

    def save_file(
        self,
        data: bytes | Callable[[Path], None],
        *,
        prefix: str,
        extension: str,
        media_type: str,
        folder: Literal["output", "temp"] = "output",
        ui_key: str = "images",
        numbered: bool = True,
        width_px: int = 0,
        height_px: int = 0,
        batch_number: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Hand over a finished file; it becomes visible as `<prefix>_<counter>_.<extension>`, exactly once per job.

        data: its bytes, or a function that writes them to a path, for files that do not fit into memory.
        The UI entry {filename, subfolder, type, **extra} is added to the node's UI output under `ui_key`.
        """
        ...
