"""Samples of a tar shard in the WebDataset layout: consecutive members whose names differ after the first dot only.

Order, worker processes and continuing are engine.training.data.shards; the webdataset package gives the naming rules,
brace patterns and the opening of addresses.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from engine.training.data.reports import DataError, Problem

__all__ = ["RawSample", "expand_shards", "shard_samples"]

_MAX_MEMBER_BYTES = 1 << 28
_SAFE_SCHEMES = ("http", "https", "gs", "hf", "ais")


@dataclass(frozen=True, slots=True)
class RawSample:
    """Undecoded members by lower-case extension. `name` is "shard.tar/key"."""

    name: str
    members: Mapping[str, bytes]


def expand_shards(patterns: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Paths and addresses of the shards: braces expanded, `*` and folders listed, sorted within each pattern.

    Raises DataError for patterns that name nothing, and for `pipe:`, which would run a command.
    """
    webdataset = _webdataset()
    shards: list[str] = []
    for pattern in patterns:
        for name in webdataset.shardlists.expand_urls(pattern):
            scheme = name.split(":", 1)[0] if ":" in name and not Path(name).drive else ""
            if scheme and scheme not in _SAFE_SCHEMES:
                raise DataError(
                    f"Shards cannot be read from {name!r}.", hint=f"Use a path, or one of {', '.join(_SAFE_SCHEMES)}."
                )
            shards += [name] if scheme else _local(name, folder)
    if not shards:
        raise DataError(
            f"No shard matches {', '.join(patterns)}.", code="data_missing", hint="Set `urls` to tar files."
        )
    return tuple(shards)


def shard_samples(
    shard: str, is_wanted: Callable[[int], bool], report: Callable[[Problem], None]
) -> Iterator[RawSample | None]:
    """The samples of a shard in order; None for those whose number is not wanted, whose bytes are not read.

    A damaged or truncated shard gives the samples before the damage, the one it hit left out, and is reported.
    """
    split = _webdataset().tariterators.base_plus_ext
    key: str | None = None
    members: dict[str, bytes] = {}
    number = -1
    try:
        with _open_shard(shard) as stream:
            is_file = hasattr(stream, "seek")
            archive = tarfile.open(fileobj=stream, mode="r:*" if is_file else "r|*")  # noqa: SIM115
            for member in archive:
                prefix, extension = split(member.name)
                if not member.isreg() or prefix is None or _is_metadata(member.name):
                    continue
                if prefix != key:
                    if key is not None:
                        yield RawSample(f"{shard}/{key}", members) if is_wanted(number) else None
                    key, members, number = prefix, {}, number + 1
                if is_wanted(number) and member.size <= _MAX_MEMBER_BYTES:
                    content = archive.extractfile(member)
                    members[extension.lower()] = b"" if content is None else content.read()
            if is_file and not _ends_properly(archive):
                raise EOFError("it ends before its end mark")
    except (MemoryError, GeneratorExit):
        raise
    except Exception as error:  # noqa: BLE001 - damaged archives raise whatever they like
        report(Problem("corrupt_shard", shard, f"is damaged after {max(number, 0)} sample(s): {error}"))
        return
    if key is not None:
        yield RawSample(f"{shard}/{key}", members) if is_wanted(number) else None


def _open_shard(shard: str) -> IO[bytes]:
    if ":" in shard and not Path(shard).drive:
        return _webdataset().gopen(shard)
    return Path(shard).open("rb")


def _ends_properly(archive: tarfile.TarFile) -> bool:
    """Whether the zero blocks that end an archive are where reading stopped; tarfile stops silently at bad headers."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    block = archive.fileobj.read(tarfile.BLOCKSIZE)
    return len(block) == tarfile.BLOCKSIZE and not any(block)


def _local(name: str, folder: Path) -> list[str]:
    path = Path(name) if Path(name).is_absolute() else folder / name
    if path.is_dir():
        return sorted(str(found) for found in path.glob("*.tar"))
    if "*" in path.name:
        return sorted(str(found) for found in path.parent.glob(path.name))
    return [str(path)]


def _is_metadata(name: str) -> bool:
    first = name.split("/", 1)[0]
    return first.startswith("__") and first.endswith("__")


def _webdataset() -> Any:
    try:
        import webdataset
        import webdataset.shardlists
        import webdataset.tariterators
    except ImportError as error:
        raise DataError(
            "Tar shards need the webdataset package, which is not installed.",
            code="missing_package",
            hint="`python3 main.py train` installs what training needs.",
        ) from error
    return webdataset
