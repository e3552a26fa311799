"""Weights that are stored in several files, as one checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType

import torch

from engine.core.digest import digest_value
from engine.core.errors import CheckpointError
from engine.weights.checkpoint import Checkpoint
from engine.weights.header import TensorInfo

__all__ = ["PiecewiseCheckpoint", "joined"]


class PiecewiseCheckpoint(Checkpoint):
    """The tensors of several open files. It does not own them: whoever opened them closes them."""

    def __init__(self, pieces: Sequence[Checkpoint]) -> None:
        self.path, self.stamp = pieces[0].path, pieces[0].stamp
        self.metadata = pieces[0].metadata
        self.identity = digest_value([piece.identity for piece in pieces])
        places = [(piece, key) for piece in pieces for key in piece.tensors]
        self._places: Sequence[tuple[Checkpoint, str]] = tuple(places)
        # The start is the tensor's place in the list, so that it is found under another name too.
        self.tensors = MappingProxyType(
            {
                key: TensorInfo(info.dtype, info.shape, number, number + info.num_bytes)
                for number, (piece, key) in enumerate(places)
                for info in (piece.tensors[key],)
            }
        )
        self._data_start, self._map = 0, None

    def tensor(self, key: str) -> torch.Tensor:
        """The tensor as its file stores it. Raises KeyError for an unknown key, CheckpointError after closing."""
        piece, name = self._places[self.tensors[key].start]
        return piece.tensor(name)

    def prefetch(self, keys: Iterable[str]) -> None:
        """Ask the operating system to read these tensors ahead; returns at once."""
        for piece, names in self._by_piece(keys):
            piece.prefetch(names)

    def release(self, keys: Iterable[str]) -> None:
        """Let the operating system take back the pages of these tensors; they are read again when used."""
        for piece, names in self._by_piece(keys):
            piece.release(names)

    def close(self) -> None:
        """Forget the files."""
        self._places = ()

    def _by_piece(self, keys: Iterable[str]) -> Iterator[tuple[Checkpoint, list[str]]]:
        names: dict[int, list[str]] = {}
        pieces: dict[int, Checkpoint] = {}
        for key in keys:
            piece, name = self._places[self.tensors[key].start]
            pieces[id(piece)] = piece
            names.setdefault(id(piece), []).append(name)
        return ((pieces[number], found) for number, found in names.items())


def joined(pieces: Sequence[Checkpoint]) -> Checkpoint:
    """Several files as one checkpoint; a single one is itself. Raises CheckpointError when two hold the same key."""
    if len(pieces) == 1:
        return pieces[0]
    seen: dict[str, Checkpoint] = {}
    for piece in pieces:
        twice = next((key for key in piece.tensors if key in seen), None)
        if twice is not None:
            raise CheckpointError(
                f"{seen[twice].path.name} and {piece.path.name} both hold {twice}.",
                code="checkpoint_keys",
                hint="The pieces are of two versions; download them again.",
            )
        seen |= dict.fromkeys(piece.tensors, piece)
    return PiecewiseCheckpoint(pieces)
