"""Textual inversion files: learned vectors that stand for a word (`embedding:name`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.core.containment import resolve_inside
from engine.core.errors import AtelierError, ContainmentError
from engine.families.contract import Warn
from engine.weights.checkpoint import Checkpoint, FileStamp

__all__ = ["EmbeddingFiles", "FoundEmbedding"]

_EXTENSIONS = ("", ".safetensors", ".pt", ".bin")
_ENCODER_KEYS = ("emb_params", "clip_l", "clip_g")


@dataclass(frozen=True, slots=True)
class FoundEmbedding:
    """Vectors [n d] float32 (None when there are none to use), and the text after the name, which is a prompt again."""

    vectors: torch.Tensor | None
    rest: str


class EmbeddingFiles:
    """The embeddings folders of an installation. Thread-safe; files are read when asked for and then remembered."""

    def __init__(self, folders: Sequence[Path], open_file: Callable[[Path], Checkpoint]) -> None:
        self._folders = tuple(folders)
        self._open = open_file
        self._read: dict[FileStamp, dict[str, torch.Tensor]] = {}
        self._lock = threading.Lock()

    def find(self, text: str, width: int, warn: Warn | None = None, encoder_key: str = "clip_l") -> FoundEmbedding:
        """The embedding a prompt names after `embedding:`.

        The name ends at a space; commas at its end are text. What cannot be used (missing, damaged, another width) is
        left out with a warning, as if it were not written.
        """
        name, _, rest = text.partition(" ")
        path = self._path(name)
        if path is None and name.endswith(","):
            bare = name.rstrip(",")
            path, rest = self._path(bare), f"{name[len(bare) :]} {rest}"
            name = bare
        say = warn or _ignore
        if path is None:
            say(f"There is no embedding {name!r}; it was left out.")
            return FoundEmbedding(None, rest)
        try:
            vectors = self._vectors(path, encoder_key)
        except AtelierError as error:
            say(f"The embedding {name!r} cannot be used and was left out: {error.message}")
            return FoundEmbedding(None, rest)
        if vectors.shape[1] != width:
            say(
                f"The embedding {name!r} has vectors of width {vectors.shape[1]}, this text encoder takes {width}; "
                "it was left out."
            )
            return FoundEmbedding(None, rest)
        return FoundEmbedding(vectors, rest)

    def _path(self, name: str) -> Path | None:
        for folder in self._folders if name.strip() else ():
            for extension in _EXTENSIONS:
                try:
                    candidate = resolve_inside(folder, name + extension)
                except ContainmentError:
                    return None
                if candidate.is_file():
                    return candidate
        return None

    def _vectors(self, path: Path, encoder_key: str) -> torch.Tensor:
        stamp = FileStamp.of(path)
        with self._lock:
            known = self._read.get(stamp)
        if known is None:
            with self._open(path) as checkpoint:
                known = {
                    key: checkpoint.tensor(key).float().clone()
                    for key, info in checkpoint.tensors.items()
                    if info.dtype.startswith(("F", "BF")) and len(info.shape) in (1, 2)
                }
            with self._lock:
                self._read[stamp] = known
        chosen = _choose(known, encoder_key)
        if chosen is None:
            raise AtelierError(f"{path.name} holds no vectors.", code="bad_embedding")
        return chosen if chosen.ndim == 2 else chosen[None]


def _choose(tensors: dict[str, torch.Tensor], encoder_key: str) -> torch.Tensor | None:
    """The vectors for one encoder: by its own key, else by the usual one, else the file's first."""
    for key in (encoder_key, *(key for key in tensors if key.startswith("string_to_param"))):
        if key in tensors:
            return tensors[key]
    plain = [tensors[key] for key in tensors if key not in _ENCODER_KEYS or key == "emb_params"]
    return plain[0] if plain else None


def _ignore(message: str) -> None:
    """Without a listener warnings go nowhere."""
