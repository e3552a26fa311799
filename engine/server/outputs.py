"""Exactly-once outputs: a staged file gets its visible name in a transaction, then its place, then its mark.

`name` runs in the first transaction and reserves the row (unique per job, node and ordinal); `place` links the file
without ever overwriting a foreign one; `mark` runs in the second transaction together with the event. A crash between
any two of them is repaired by `recover`, and a re-run of the job gets the same names.
"""

from __future__ import annotations

import filecmp
import glob
import logging
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.core.containment import check_relative_name, resolve_inside
from engine.core.errors import ContainmentError, NotFoundError
from engine.core.folders import Folders
from engine.core.ids import new_asset_id
from engine.protocol.messages import OutputsStaged, StagedFile
from engine.server.change import Change
from engine.server.durable_files import make_folder, sync_folder
from engine.server.origins import drop_unused
from engine.server.tables import ASSETS

__all__ = ["OutputPlacer", "Placement", "copy_over", "link_exclusively"]

_log = logging.getLogger(__name__)
_OUTPUT_FOLDERS = ("output", "temp")
_MAX_REMEMBERED = 1024
"""Prefixes whose highest number is known without asking the store and the disk."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A staged file and the visible place reserved for it. `prefix` is the file name part of the prefix.

    `spare`: the file of a later attempt that is not needed any more.
    """

    asset: str
    staged: Path
    folder: str
    subfolder: str
    prefix: str
    filename: str
    counter: int
    extension: str
    is_placed: bool
    may_overwrite: bool
    spare: Path | None = None


class OutputPlacer:
    """Names and places output files below the output and temp folders."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self.staging = folders.data / "staging"
        self._highest: dict[tuple[str, str, str], int] = {}

    # ------------------------------------------------------------------ first transaction

    def name(self, change: Change, message: OutputsStaged) -> list[Placement]:
        """Reserve visible names for the files of one node, the same ones as in an earlier attempt.

        Raises ContainmentError or NotFoundError for a prefix, folder or staged name that leads elsewhere.
        """
        rows = change.connection.execute(
            sa.select(ASSETS).where(ASSETS.c.job == message.job, ASSETS.c.node == message.node)
        ).mappings()
        earlier = {row["ordinal"]: row for row in rows}
        return [self._name_one(change, message, file, earlier.get(file.ordinal)) for file in message.files]

    def _name_one(self, change: Change, message: OutputsStaged, file: StagedFile, earlier: Any) -> Placement:
        staged = resolve_inside(self.staging, file.staged)
        if file.folder not in _OUTPUT_FOLDERS or staged == self.staging:
            raise NotFoundError(f"Files cannot be placed in {file.folder!r}.", hint="Use output or temp.")
        if earlier is not None:
            first = resolve_inside(self.staging, earlier["staged"])
            if not earlier["is_placed"] and first != staged and first.exists():
                # That attempt's file may be at the name already: it stays the one, so that there are never two.
                placement = _placement(earlier, first, file.extension, may_overwrite=not file.numbered)
                return replace(placement, spare=staged)
            if not earlier["is_placed"]:
                values = {"staged": file.staged, "digest": _digest_of(file.staged), "size_bytes": file.size_bytes}
                change.connection.execute(sa.update(ASSETS).where(ASSETS.c.id == earlier["id"]).values(**values))
            return _placement(earlier, staged, file.extension, may_overwrite=not file.numbered)
        subfolder, prefix = _split_prefix(file.prefix)
        extension = check_relative_name(file.extension)
        if "/" in extension:
            raise ContainmentError(f"{file.extension!r} is not a file extension.")
        resolve_inside(self._folders.root(file.folder), f"{subfolder}/{prefix}" if subfolder else prefix)
        counter = self._next_counter(change, file.folder, subfolder, prefix) if file.numbered else 0
        filename = f"{prefix}_{counter:05}_.{extension}" if file.numbered else f"{prefix}.{extension}"
        row = {
            "id": new_asset_id(),
            "job": message.job,
            "node": message.node,
            "ordinal": file.ordinal,
            "staged": file.staged,
            "digest": _digest_of(file.staged),
            "folder": file.folder,
            "subfolder": subfolder,
            "prefix": prefix,
            "counter": counter,
            "filename": filename,
            "media_type": file.media_type,
            "size_bytes": file.size_bytes,
            "width_px": file.width_px,
            "height_px": file.height_px,
            "is_placed": False,
            "created_s": change.now_s,
        }
        change.connection.execute(sa.insert(ASSETS).values(**row))
        return _placement(row, staged, extension, may_overwrite=not file.numbered)

    def _next_counter(self, change: Change, folder: str, subfolder: str, prefix: str) -> int:
        """One more than the highest number this prefix has on disk or in the store."""
        key = (folder, subfolder, prefix)
        highest = self._highest.get(key)
        if highest is None:
            known = sa.select(sa.func.max(ASSETS.c.counter)).where(
                ASSETS.c.folder == folder, ASSETS.c.subfolder == subfolder, ASSETS.c.prefix == prefix
            )
            highest = change.connection.scalar(known) or 0
            highest = max(highest, _highest_on_disk(self._folders.root(folder) / subfolder, prefix))
        self._highest.pop(key, None)
        self._highest[key] = highest + 1  # as the newest of them
        if len(self._highest) > _MAX_REMEMBERED:
            del self._highest[next(iter(self._highest))]
        return highest + 1

    # ------------------------------------------------------------------ on disk

    def place(self, placements: Sequence[Placement]) -> list[bool]:
        """Link every file into its place (blocking disk work); False where a foreign file has taken the name.

        Raises FileNotFoundError when a staged file is gone, ContainmentError when links lead outside.
        """
        results = [self._place_one(placement) for placement in placements]
        for folder in {self.target(placement).parent for placement in placements}:
            sync_folder(folder)
        return results

    def discard_staged(self, placements: Sequence[Placement]) -> None:
        """Remove the staged names once the visible ones are marked."""
        for placement in placements:
            placement.staged.unlink(missing_ok=True)
            if placement.spare is not None:
                placement.spare.unlink(missing_ok=True)

    def target(self, placement: Placement) -> Path:
        """The visible path of a placement. Raises ContainmentError when links lead outside."""
        root = self._folders.root(placement.folder)
        return resolve_inside(root, f"{placement.subfolder}/{placement.filename}".lstrip("/"))

    def _place_one(self, placement: Placement) -> bool:
        target = self.target(placement)
        if placement.is_placed and target.exists():
            return True
        make_folder(target.parent)
        if placement.may_overwrite:
            copy_over(placement.staged, target)
            return True
        return link_exclusively(placement.staged, target)

    # ------------------------------------------------------------------ second transaction

    def mark(self, change: Change, placements: Sequence[Placement]) -> None:
        """Note that the files are where their rows say."""
        ids = [placement.asset for placement in placements]
        change.connection.execute(sa.update(ASSETS).where(ASSETS.c.id.in_(ids)).values(is_placed=True))

    def rename(self, change: Change, placement: Placement) -> Placement:
        """Reserve the next name for a placement whose name is taken on disk."""
        counter = self._next_counter(change, placement.folder, placement.subfolder, placement.prefix)
        filename = f"{placement.prefix}_{counter:05}_.{placement.extension}"
        values = {"counter": counter, "filename": filename}
        change.connection.execute(sa.update(ASSETS).where(ASSETS.c.id == placement.asset).values(**values))
        return replace(placement, counter=counter, filename=filename)

    # ------------------------------------------------------------------ start and stop

    def recover(self, change: Change) -> int:
        """Finish or forget what a crash left between the two transactions; empty the staging folder. Rows repaired."""
        change.connection.execute(sa.delete(ASSETS).where(ASSETS.c.folder == "temp"))
        rows = change.connection.execute(sa.select(ASSETS).where(ASSETS.c.is_placed.is_(False))).mappings().all()
        for row in rows:
            placement = _placement(row, self.staging / row["staged"], "", may_overwrite=False)
            if self._settle(placement):
                self.mark(change, [placement])
            else:
                change.connection.execute(sa.delete(ASSETS).where(ASSETS.c.id == row["id"]))
        drop_unused(change)
        shutil.rmtree(self.staging, ignore_errors=True)
        self.staging.mkdir(parents=True, exist_ok=True)
        return len(rows)

    def _settle(self, placement: Placement) -> bool:
        """Whether the file of a reserved row is (now) in its place; the staged name outlives the mark."""
        if not placement.staged.exists():
            return False
        try:
            target = self.target(placement)
            make_folder(target.parent)
            _remove_parts(target)
            is_ours = link_exclusively(placement.staged, target)
            sync_folder(target.parent)
        except (OSError, ContainmentError) as error:
            _log.warning("The file %s could not be placed; its job makes it again: %s", placement.filename, error)
            return False
        return is_ours


def _placement(row: Any, staged: Path, extension: str, *, may_overwrite: bool) -> Placement:
    return Placement(
        asset=row["id"],
        staged=staged,
        folder=row["folder"],
        subfolder=row["subfolder"],
        prefix=row["prefix"],
        filename=row["filename"],
        counter=row["counter"],
        extension=extension,
        is_placed=bool(row["is_placed"]),
        may_overwrite=may_overwrite,
    )


def _split_prefix(prefix: str) -> tuple[str, str]:
    plain = check_relative_name(prefix)
    subfolder, _, name = plain.rpartition("/")
    if not name:
        raise ContainmentError(f"The file name prefix {prefix!r} has no name.", hint="Add a name after the last slash.")
    return "/".join(part for part in subfolder.split("/") if part not in ("", ".")), name


def _digest_of(staged: str) -> str:
    """The content digest a staged name carries (its leading hex digits), or ""."""
    match = re.match(r"[0-9a-f]{16,}", staged)
    return match.group() if match else ""


def _highest_on_disk(folder: Path, prefix: str) -> int:
    """The highest counter among `<prefix>_<digits>_*` in `folder`; 0 when there is none, or no folder to be read.

    Whatever is wrong with the folder shows when the file is placed, and no name is ever taken from another file.
    """
    pattern = re.compile(re.escape(prefix) + r"_(\d{1,15})_", re.IGNORECASE if os.name == "nt" else 0)
    highest = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                match = pattern.match(entry.name)
                if match:
                    highest = max(highest, int(match.group(1)))
    except OSError:
        return 0
    return highest


def _remove_parts(target: Path) -> None:
    """Remove unfinished copies of a file that a killed server left beside its place."""
    for part in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        part.unlink(missing_ok=True)


def link_exclusively(source: Path, target: Path) -> bool:
    """Give `source` the further name `target`; False when a different file has that name already.

    Falls back to a copy where hard links are impossible (another file system). Raises FileNotFoundError.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        return _is_same_content(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        return _copy_exclusively(source, target)
    return True


def _is_same_content(source: Path, target: Path) -> bool:
    """Whether `target` is `source` itself or a copy: what was made before a crash."""
    try:
        return os.path.samefile(source, target) or filecmp.cmp(source, target, shallow=False)
    except OSError:
        return False


def _copy_exclusively(source: Path, target: Path) -> bool:
    copy = target.with_name(f".{target.name}.{new_asset_id()}.part")
    try:
        _copy_synced(source, copy)
        try:
            os.link(copy, target)
        except FileExistsError:
            return _is_same_content(copy, target)
        except OSError:  # no links at all here
            return _move_exclusively(copy, target)
        return True
    finally:
        copy.unlink(missing_ok=True)


def _move_exclusively(source: Path, target: Path) -> bool:
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return _is_same_content(source, target)
    try:
        os.replace(source, target)
    except OSError:
        target.unlink(missing_ok=True)
        raise
    return True


def copy_over(source: Path, target: Path) -> None:
    """Replace `target` with a durable copy of `source`."""
    copy = target.with_name(f".{target.name}.{new_asset_id()}.part")
    try:
        _copy_synced(source, copy)
        os.replace(copy, target)
    finally:
        copy.unlink(missing_ok=True)


def _copy_synced(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())
