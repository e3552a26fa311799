"""Reading a pickled checkpoint's instructions without running them: which names it would import.

A pickle is a program. This walks its opcodes as data, within limits, before anything interprets it. Both forms of
`torch.save` are understood: a zip with `data.pkl` inside, and the older stream of five pickles before the raw data.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.core.errors import CheckpointError

__all__ = ["INERT_GLOBALS", "USUAL_GLOBALS", "PickleScan", "is_pickle_file", "scan_pickle_file"]

_MAX_PICKLE_BYTES = 16 << 20
_MAX_OPCODES = 600_000
_MAX_ENTRIES = 1 << 16
_LEGACY_PICKLES = 5
_ZIP_MAGIC = b"PK\x03\x04"

_STORAGES = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool", "Untyped")
USUAL_GLOBALS = frozenset(
    {f"torch.{name}Storage" for name in _STORAGES}
    | {f"torch.{name}" for name in ("float32", "float16", "bfloat16", "float64", "int64", "int32", "uint8", "bool")}
    | {
        "collections.OrderedDict", "torch.Size", "torch.device", "torch.float8_e4m3fn", "torch.float8_e5m2",
        "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter",
        "torch.storage.UntypedStorage", "torch.serialization._get_layout",
    }
)  # fmt: skip
"""What a file of plain tensors names."""

INERT_GLOBALS = frozenset({
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint", "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar", "numpy.dtype", "_codecs.encode",
})  # fmt: skip
"""Names found in published training checkpoints beside the tensors. They are replaced by objects that do nothing."""

_STRINGS = frozenset(
    {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
)
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_FORBIDDEN = frozenset({"EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEXT_BUFFER", "READONLY_BUFFER", "PERSID"})
_UNRESOLVED = "a name computed while loading"


@dataclass(frozen=True, slots=True)
class PickleScan:
    """What a pickled file would import; `unusual` are the names that are neither usual nor known to be harmless."""

    globals: frozenset[str]
    is_zip: bool

    @property
    def unusual(self) -> frozenset[str]:
        """Names that no file of tensors needs."""
        return self.globals - USUAL_GLOBALS - INERT_GLOBALS


def is_pickle_file(path: Path) -> bool:
    """Whether the first bytes are those of a zip archive or a pickle rather than a safetensors header."""
    with path.open("rb") as stream:
        start = stream.read(9)
    if start[8:9] == b"{":
        return False
    return start.startswith(_ZIP_MAGIC) or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"))


def scan_pickle_file(path: Path) -> PickleScan:
    """The names a pickled file would import.

    Raises CheckpointError for damaged files, archives with compressed or overlapping entries, and pickles that are
    too long or use opcodes no tensor file needs.
    """
    with path.open("rb") as stream:
        is_zip = stream.read(4) == _ZIP_MAGIC
        stream.seek(0)
        if is_zip:
            found = _scan_one(path, io.BytesIO(_zip_pickle(path)))
        else:
            head = io.BytesIO(stream.read(_MAX_PICKLE_BYTES))
            found = frozenset().union(*(_scan_one(path, head) for _ in range(_LEGACY_PICKLES)))
    return PickleScan(found, is_zip)


def _refusal(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path.name} {what}.", code="pickle_refused", hint="Use a safetensors file of this model.")


def _zip_pickle(path: Path) -> bytes:
    """The bytes of `data.pkl`, after checking that the archive is as torch writes it: stored, within the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > _MAX_ENTRIES:
                raise _refusal(path, f"is an archive of {len(entries)} entries")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise _refusal(path, "is an archive with compressed entries, which no tensor file has")
            if sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise _refusal(path, "is an archive whose entries overlap")
            pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
            if len(pickles) != 1:
                raise _refusal(path, "is an archive without a single data.pkl, so no torch file")
            if pickles[0].file_size > _MAX_PICKLE_BYTES:
                raise _refusal(path, f"holds a pickle of {pickles[0].file_size} bytes")
            return archive.read(pickles[0])
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise _refusal(path, f"is a damaged archive ({error})") from error


def _scan_one(path: Path, stream: io.BytesIO) -> frozenset[str]:
    """The names of one pickle; the stream is left behind its end."""
    found: set[str] = set()
    pushed: list[str | None] = []
    memo: dict[int, str | None] = {}
    try:
        for name, argument in _opcodes(path, stream):
            if name in _STRINGS:
                pushed.append(str(argument))
            elif name in _GETS:
                pushed.append(memo.get(int(argument)))
            elif name in _PUTS:
                memo[int(argument)] = pushed[-1] if pushed else None
            elif name == "MEMOIZE":
                memo[len(memo)] = pushed[-1] if pushed else None
            elif name == "GLOBAL":
                found.add(str(argument).replace(" ", ".", 1))
                pushed.clear()
            elif name == "STACK_GLOBAL":
                parts = pushed[-2:]
                found.add(".".join(map(str, parts)) if len(parts) == 2 and None not in parts else _UNRESOLVED)
                pushed.clear()
            else:
                pushed.clear()
    except (ValueError, IndexError, KeyError, UnicodeError, OverflowError, MemoryError) as error:
        raise _refusal(path, f"holds a damaged pickle ({error})") from error
    return frozenset(found)


def _opcodes(path: Path, stream: io.BytesIO) -> Iterator[tuple[str, Any]]:
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if count > _MAX_OPCODES:
            raise _refusal(path, f"holds a pickle of more than {_MAX_OPCODES} instructions")
        if opcode.name in _FORBIDDEN:
            raise _refusal(path, f"holds a pickle with the instruction {opcode.name}, which no tensor file needs")
        yield opcode.name, argument
