"""A folder of precomputed latents: the file format, written in steps that a killed process can go on from.

header.json    format, digest of what is stored, number of items, shape of one [c h w], whether c holds variances, dtype
latents.f16    [items c h w], float16, little-endian, allocated at once; companions of latents may be uint8
items.jsonl    one line an item: {"texts": [...], "values": {key: number or list}}
progress.json  how many items, and bytes of items.jsonl, are complete on disk
offsets.npy    int64 [items + 1]: where each line starts; there once everything is
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.training.data.reports import DataError

__all__ = ["StoreHeader", "StoreReader", "StoreWriter", "folder_lock", "is_complete", "read_header", "remove_store"]

FORMAT = 1
_LOCK = "lock"
_FILES = ("offsets.npy", "progress.json", "header.json", "items.jsonl", "latents.f16")


@dataclass(frozen=True, slots=True)
class StoreHeader:
    """What a store holds. `shape` is [c h w] of one item; with a variance, c is twice the latent's channels.

    dtype: numpy's name of the values' type.
    """

    digest: str
    num_items: int
    shape: tuple[int, int, int]
    has_variance: bool
    dtype: str = "<f2"

    @property
    def num_bytes(self) -> int:
        """Size of all latents."""
        return np.dtype(self.dtype).itemsize * self.num_items * int(np.prod(self.shape))


def read_header(folder: Path) -> StoreHeader | None:
    """The header of a folder; None when there is none, or one that cannot be read."""
    try:
        record = json.loads((folder / "header.json").read_bytes())
        if record.pop("format") != FORMAT:
            return None
        return StoreHeader(**{**record, "shape": tuple(record["shape"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def is_complete(folder: Path) -> bool:
    """Whether every item of the store is on disk."""
    return (folder / "offsets.npy").exists() and (folder / "header.json").exists()


def remove_store(folder: Path) -> None:
    """Delete the files of a store, the ones that vouch for it first; anything else in the folder stays."""
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """One process at a time; others wait. The system releases it when the process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a+b") as stream:
        if os.name == "nt":
            import msvcrt

            while True:
                try:
                    msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
                    break
                except OSError:
                    time.sleep(0.5)
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


class StoreWriter:
    """Appends items to a store, from the last ones that are known to be on disk. Hold `folder_lock` around it."""

    def __init__(self, folder: Path, header: StoreHeader) -> None:
        self.header = header
        self._folder = folder
        self.num_done, num_bytes = _progress(folder, header)
        if not self.num_done:
            remove_store(folder)
            _write_atomically(folder / "header.json", json.dumps({"format": FORMAT, **asdict(header)}).encode())
            _allocate(folder / "latents.f16", header.num_bytes)
        self._latents = np.memmap(
            folder / "latents.f16", dtype=header.dtype, mode="r+", shape=(header.num_items, *header.shape)
        )
        self._items: BinaryIO = (folder / "items.jsonl").open("ab")
        # What was appended after the last flush may be torn.
        self._items.truncate(num_bytes)
        self._items.seek(0, os.SEEK_END)

    def append(self, latents: np.ndarray, records: Sequence[dict[str, Any]]) -> None:
        """The next items, [n c h w] of the store's dtype and a record each. They count once `flush` has returned."""
        self._latents[self.num_done : self.num_done + len(records)] = latents
        for record in records:
            self._items.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        self.num_done += len(records)

    def flush(self) -> None:
        """Put everything appended so far on disk."""
        self._latents.flush()
        self._items.flush()
        os.fsync(self._items.fileno())
        record = {"num_done": self.num_done, "items_bytes": self._items.tell()}
        _write_atomically(self._folder / "progress.json", json.dumps(record).encode())

    def finish(self) -> None:
        """Flush, and note where the lines start; the store is complete then."""
        self.flush()
        self.close()
        with (self._folder / "items.jsonl").open("rb") as stream:
            lengths = [len(line) for line in stream]
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        temporary = self._folder / "offsets.npy.part"
        with temporary.open("wb") as stream:
            np.save(stream, offsets)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, self._folder / "offsets.npy")

    def close(self) -> None:
        """Let go of the files."""
        self._items.close()


class StoreReader:
    """Random access to a complete store. Pickled as its folder; the files are mapped when first read."""

    def __init__(self, folder: Path) -> None:
        header = read_header(folder)
        if header is None or not is_complete(folder):
            raise DataError(f"{folder} holds no complete store of latents.", hint="Build it again.")
        self.header = header
        self._folder = folder
        self._maps: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": None}

    def __len__(self) -> int:
        return self.header.num_items

    @property
    def latents(self) -> np.ndarray:
        """All latents [items c h w] of the store's dtype, read from disk as they are used."""
        return self._mapped()[0]

    def record(self, index: int) -> dict[str, Any]:
        """The record of an item."""
        _, lines, offsets = self._mapped()
        return json.loads(lines[offsets[index] : offsets[index + 1]].tobytes())

    def _mapped(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self._maps is None:
            shape = (self.header.num_items, *self.header.shape)
            try:
                latents = np.memmap(self._folder / "latents.f16", dtype=self.header.dtype, mode="r", shape=shape)
                lines = np.memmap(self._folder / "items.jsonl", dtype=np.uint8, mode="r")
                offsets = np.load(self._folder / "offsets.npy")
                if len(offsets) != self.header.num_items + 1 or offsets[-1] != len(lines):
                    raise ValueError("the files do not belong together")
            except (OSError, ValueError) as error:
                raise DataError(
                    f"The latents in {self._folder} are damaged: {error}.", hint="Delete the folder to build it again."
                ) from error
            self._maps = (latents, lines, offsets)
        return self._maps


def _progress(folder: Path, header: StoreHeader) -> tuple[int, int]:
    """(items, bytes of items.jsonl) of a store begun with this header; zeros when it has to begin anew."""
    if read_header(folder) != header:
        return 0, 0
    try:
        record = json.loads((folder / "progress.json").read_bytes())
        num_done, num_bytes = int(record["num_done"]), int(record["items_bytes"])
        fits = 0 <= num_done <= header.num_items and (folder / "items.jsonl").stat().st_size >= num_bytes
        fits = fits and (folder / "latents.f16").stat().st_size == header.num_bytes
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0
    return (num_done, num_bytes) if fits else (0, 0)


def _allocate(path: Path, num_bytes: int) -> None:
    try:
        with path.open("wb") as stream:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, num_bytes)
            else:
                stream.truncate(num_bytes)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise DataError(
            f"There is no room for {num_bytes / 1e9:.2f} GB of latents at {path.parent}: {error.strerror}.",
            code="no_room",
            hint="Make room, choose another folder, or lower num_items.",
        ) from error


def _write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}.part")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
