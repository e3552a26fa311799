"""Where files live: the working folders and the search folders of every model kind. Lists names; loads nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.core.containment import resolve_inside
from engine.core.errors import ContainmentError, NotFoundError

__all__ = ["MODEL_EXTENSIONS", "Folders", "ModelFolder", "default_model_folders", "split_annotation"]

MODEL_EXTENSIONS = frozenset({".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"})
_DIFFUSERS_INDEX = "model_index.json"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """Search folders of one model kind, first match wins; `extensions` empty means every file."""

    paths: tuple[Path, ...]
    extensions: frozenset[str] = MODEL_EXTENSIONS


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one installation. Frozen; passed in, never global."""

    base: Path
    input: Path
    output: Path
    temp: Path
    user: Path
    custom_nodes: tuple[Path, ...]
    models: Mapping[str, ModelFolder] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """Server state (database, caches, staged outputs); never reachable through the API."""
        return self.user / ".atelier"

    def root(self, kind: str) -> Path:
        """The folder called `input`, `output` or `temp`. Raises NotFoundError for any other word."""
        if kind not in ("input", "output", "temp"):
            raise NotFoundError(f"There is no folder type {kind!r}.", hint="Use input, output or temp.")
        return Path(getattr(self, kind))

    def model_names(self, kind: str) -> list[str]:
        """Sorted relative names of the files of a model kind, with forward slashes. Raises NotFoundError."""
        folder = self._model_folder(kind)
        names: set[str] = set()
        for path in folder.paths:
            names.update(_diffusers_names(path) if kind == "diffusers" else _file_names(path, folder.extensions))
        return sorted(names)

    def model_path(self, kind: str, name: str) -> Path:
        """The file called `name` in the first search folder that has it. Raises NotFoundError or ContainmentError."""
        for path in self._model_folder(kind).paths:
            try:
                candidate = resolve_inside(path, name)
            except ContainmentError:
                # A link placed by the owner of the models folder may lead elsewhere; text that escapes may not.
                if _is_listed_link(path, name):
                    return Path(os.path.realpath(path / name))
                raise
            if candidate.exists() and candidate != path:
                return candidate
        raise NotFoundError(
            f"There is no {kind} file named {name!r}.",
            hint=f"Put it into one of: {', '.join(map(str, self._model_folder(kind).paths))}.",
        )

    def _model_folder(self, kind: str) -> ModelFolder:
        try:
            return self.models[kind]
        except KeyError:
            raise NotFoundError(
                f"There is no model folder {kind!r}.", hint=f"Known folders: {', '.join(sorted(self.models))}."
            ) from None

    def with_model_paths(self, kind: str, paths: Iterable[Path], *, first: bool = False) -> Folders:
        """A copy with further search folders of `kind`, created as an unrestricted kind if it is new."""
        current = self.models.get(kind, ModelFolder((), MODEL_EXTENSIONS))
        fresh = tuple(p for p in paths if p not in current.paths)
        merged = fresh + current.paths if first else current.paths + fresh
        return replace(self, models={**self.models, kind: replace(current, paths=merged)})


def split_annotation(name: str, default: str = "input") -> tuple[str, str]:
    """Split `picture.png [output]` into the bare name and its folder type.

    >>> split_annotation("a.png [temp]")
    ('a.png', 'temp')
    """
    for kind in ("input", "output", "temp"):
        if name.endswith(f" [{kind}]"):
            return name[: -len(kind) - 3], kind
    return name, default


def default_model_folders(models: Path, output: Path, custom_nodes: tuple[Path, ...]) -> dict[str, ModelFolder]:
    """The folder keys ComfyUI users have, with the same search order."""

    def kind(*names: str, also: Iterable[Path] = (), extensions: frozenset[str] = MODEL_EXTENSIONS) -> ModelFolder:
        return ModelFolder(tuple(models / name for name in names) + tuple(also), extensions)

    networks = MODEL_EXTENSIONS | {".gguf"}
    folders = {
        "checkpoints": kind("checkpoints", also=(output / "checkpoints",), extensions=networks),
        "configs": kind("configs", extensions=frozenset({".yaml"})),
        "loras": kind("loras", also=(output / "loras",)),
        "vae": kind("vae", also=(output / "vae",)),
        "text_encoders": kind("text_encoders", "clip", also=(output / "clip",)),
        "diffusion_models": kind("unet", "diffusion_models", also=(output / "diffusion_models",), extensions=networks),
        "controlnet": kind("controlnet", "t2i_adapter"),
        "diffusers": kind("diffusers", extensions=frozenset({"folder"})),
        "custom_nodes": ModelFolder(custom_nodes, frozenset()),
        "classifiers": kind("classifiers", extensions=frozenset({""})),
    }
    for name in (
        "clip_vision", "style_models", "embeddings", "vae_approx", "gligen", "upscale_models", "hypernetworks",
        "photomaker", "model_patches", "audio_encoders",
    ):  # fmt: skip
        folders[name] = kind(name)
    return folders


def _file_names(root: Path, extensions: frozenset[str]) -> Iterable[str]:
    for folder, subfolders, files in os.walk(root, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in files:
            if name.startswith("."):
                continue
            if not extensions or os.path.splitext(name)[1].lower() in extensions:
                yield os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")


def _diffusers_names(root: Path) -> Iterable[str]:
    for folder, subfolders, files in os.walk(root, followlinks=True):
        if _DIFFUSERS_INDEX in files:
            subfolders.clear()
            yield os.path.relpath(folder, root).replace(os.sep, "/")


def _is_listed_link(root: Path, name: str) -> bool:
    plain = name.replace("\\", "/")
    return ".." not in plain.split("/") and plain in _file_names(root, frozenset())
