"""`main.py models list|info|hash|convert`: the weight files of an installation."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.command.arguments import FlagParser, add_server_flags, settings_from_flags
from engine.command.progress_line import ProgressLine
from engine.core.errors import AtelierError, SettingsError

if TYPE_CHECKING:
    from engine.core.folders import Folders
    from engine.core.settings import Settings
    from engine.families.facts import FileFacts
    from engine.families.model_store import ModelStore

__all__ = ["main"]

_NOT_WEIGHTS = frozenset({"configs", "custom_nodes", "classifiers"})
_WEIGHT_FILES = (".safetensors", ".bin", ".gguf")
_UNITS = ("B", "KB", "MB", "GB", "TB")
_SHOWN_TEXT = 300


def main(root: Path, arguments: list[str]) -> int:
    """Do what the second word says; returns the exit code."""
    flags = _parser().parse_args(arguments)
    settings = settings_from_flags(root, flags, arguments)
    return flags.run(settings, flags)


def _parser() -> FlagParser:
    parser = FlagParser(prog="main.py models", description="List, describe, hash or convert weight files.")
    commands = parser.add_subparsers(metavar="list|info|hash|convert", required=True)

    def add(name: str, run: Callable[[Settings, argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", help="print JSON")
        return command

    listing = add("list", _list, "Weight files by folder, with family, kind, size and dtype.")
    listing.add_argument("folder", nargs="?", help="one folder only, such as checkpoints")
    info = add("info", _info, "What a file is, what is in it, and whether every key is understood.")
    info.add_argument("file", help="a path, or the name of a file in a model folder")
    hashes = add("hash", _hash, "The hashes a file is known by.")
    hashes.add_argument("files", nargs="+", metavar="file")
    convert = add("convert", _convert, "Write a file in another form: safetensors, another dtype, without EMA.")
    convert.add_argument("source", help="a weight file, or a folder saved by diffusers")
    convert.add_argument(
        "target", type=Path, help="the safetensors file to write, or a new folder in the form of diffusers"
    )
    convert.add_argument("--dtype", choices=("fp32", "fp16", "bf16"), help="of all weights; each its own if none")
    convert.add_argument(
        "--ema", choices=("keep", "drop", "use"), default="keep", help="the moving average that training files carry"
    )
    convert.add_argument("--force", action="store_true", help="replace the target")
    for command in (listing, info, hashes, convert):
        add_server_flags(command)
    return parser


def _list(settings: Settings, flags: argparse.Namespace) -> int:
    folders = settings.folders
    known = sorted(set(folders.models) - _NOT_WEIGHTS)
    if flags.folder is not None and flags.folder not in known:
        raise SettingsError(f"There is no model folder {flags.folder!r}.", hint=f"Folders: {', '.join(known)}.")
    store = _store(settings)
    rows = [
        {"folder": kind, "name": name, **_row(store, folders.model_path(kind, name))}
        for kind in ([flags.folder] if flags.folder else known)
        for name in folders.model_names(kind)
    ]
    if flags.json:
        print(json.dumps(rows))
        return 0
    shown = [(r["folder"], r["name"], r["family"] or "", r["kind"], _size(r["size_bytes"]), r["dtype"]) for r in rows]
    _print_table(("folder", "name", "family", "kind", "size", "dtype"), shown)
    return 0


def _row(store: ModelStore, path: Path) -> dict[str, Any]:
    """Facts of one file that cost no more than its header; pickles are not opened."""
    from engine.weights.pickles import is_pickle_file

    if path.is_dir():
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return {"family": None, "kind": "diffusers folder", "size_bytes": size, "dtype": ""}
    row = {"family": None, "kind": "pickle", "size_bytes": path.stat().st_size, "dtype": ""}
    try:
        if not is_pickle_file(path):
            facts = store.describe(path, opens=False)
            row |= {"family": facts.family, "kind": facts.kind, "dtype": _dtype(facts)}
    except AtelierError as error:
        row["kind"] = "GGUF" if error.code == "gguf_missing" else "damaged or no weight file"
    return row


def _info(settings: Settings, flags: argparse.Namespace) -> int:
    from engine.weights.checkpoint import open_checkpoint

    path = _find(settings.folders, flags.file)
    store = _store(settings)
    facts = store.describe(path)
    with open_checkpoint(path, _conversion(settings)) as file:
        metadata = dict(file.metadata)
    if flags.json:
        print(json.dumps({"path": str(path), "metadata": metadata, **_plain(facts)}))
        return 0
    print(f"{path}\n{facts.description} [{facts.family or 'no family'}, {facts.kind}], {_size(path.stat().st_size)}")
    if facts.prediction is not None:
        print(f"predicts {facts.prediction}")
    rows = [
        (part.name, str(part.num_tensors), f"{part.num_values:,}", ", ".join(sorted(part.num_bytes)))
        for part in facts.parts
    ]
    _print_table(("part", "tensors", "values", "dtypes"), rows)
    for key, text in sorted(metadata.items()):
        print(f"{key}: {text if len(text) <= _SHOWN_TEXT else f'{text[:_SHOWN_TEXT]}… ({len(text)} characters)'}")
    if facts.problem is not None:
        print(f"Cannot be opened: {facts.problem}")
    for key in facts.unexplained:
        print(f"  {key}")
    if facts.remedy:
        print(facts.remedy)
    return 0


def _hash(settings: Settings, flags: argparse.Namespace) -> int:
    from engine.weights.file_hashes import hash_file
    from engine.weights.gguf_checkpoint import is_gguf_file
    from engine.weights.header import read_header
    from engine.weights.pickles import is_pickle_file

    line = ProgressLine(sys.stderr)
    found: dict[str, dict[str, Any]] = {}
    for name in flags.files:
        path = _find(settings.folders, name)
        header = None if is_pickle_file(path) or is_gguf_file(path) else read_header(path)
        show = _byte_progress(line, path)
        hashes = hash_file(path, None if header is None else header.data_start, show)
        stated = {} if header is None else {k: v for k, v in header.metadata.items() if k in _STATED}
        found[str(path)] = {
            "sha256": hashes.sha256,
            "autov2": hashes.auto_v2,
            "tensor_data": hashes.tensor_data,
            "autov1": hashes.old,
            "stated": stated,
            "stated_is_true": _is_true(stated, hashes.tensor_data),
        }
    line.close()
    if flags.json:
        print(json.dumps(found))
        return 0
    for path_text, values in found.items():
        print(path_text)
        for key in ("sha256", "autov2", "tensor_data", "autov1"):
            print(f"  {key:12}{values[key] or 'none: not a safetensors file'}")
        for key, text in values["stated"].items():
            print(f"  {key}: {text}")
        if values["stated_is_true"] is not None:
            print(f"  the stated hash is {'right' if values['stated_is_true'] else 'WRONG'}")
    return 0


_STATED = ("modelspec.hash_sha256", "sshs_model_hash")


def _is_true(stated: dict[str, str], tensor_data: str | None) -> bool | None:
    """Whether the hashes of tensor data that a file states are right; None when it states none."""
    said = {text.lower().removeprefix("0x") for text in stated.values()}
    return said == {tensor_data} if said else None


def _convert(settings: Settings, flags: argparse.Namespace) -> int:
    import torch

    dtypes = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    target: Path = flags.target
    is_folder = target.suffix == ""
    if not is_folder and target.suffix != ".safetensors":
        raise SettingsError(
            f"{target} is neither a safetensors file nor a folder.", hint="End a file's name with .safetensors."
        )
    if target.exists() and (is_folder or not flags.force):
        hint = "Choose another name." if is_folder else "Choose another name, or add --force to replace it."
        raise SettingsError(f"{target} exists.", hint=hint)
    source = Path(flags.source) if Path(flags.source).is_dir() else _find(settings.folders, flags.source)
    if (is_folder or source.is_dir()) and flags.ema != "keep":
        raise SettingsError("Folders of diffusers have no moving average.", hint="Leave out --ema.")
    line = ProgressLine(sys.stderr)
    target.parent.mkdir(parents=True, exist_ok=True)
    _write_converted(settings, source, target, dtypes.get(flags.dtype), flags.ema, line)
    line.close()
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file()) or target.stat().st_size
    print(json.dumps({"path": str(target), "size_bytes": size}) if flags.json else f"{target} ({_size(size)})")
    return 0


def _write_converted(
    settings: Settings, source: Path, target: Path, dtype: Any, average: Any, line: ProgressLine
) -> None:
    """From one form to another; tensors go through memory one by one."""
    from engine.weights.checkpoint import open_checkpoint
    from engine.weights.conversion import converted_weights

    def show(done: int, total: int) -> None:
        # Where lines stay, each tenth of the way is enough.
        if line.is_terminal or done * 10 // total != (done - 1) * 10 // total:
            line.show(f"{target.name}: {done}/{total} tensors")

    is_folder = target.suffix == ""
    if not is_folder and not source.is_dir():
        with open_checkpoint(source, _conversion(settings)) as checkpoint:
            converted_weights(checkpoint, dtype=dtype, average=average).write(target, show)
        return
    store = _store(settings)
    parts = store.open_diffusers_folder(source) if source.is_dir() else store.open_checkpoint(source)
    if is_folder:
        export = store.diffusers_export(*parts)
        (export if dtype is None else export.with_dtype(dtype)).write(target, show)
        return
    file = store.checkpoint_file(*parts, title=target.stem, warn=line.note)
    (file if dtype is None else file.with_dtype(dtype)).write(target, show)


def _find(folders: Folders, name: str) -> Path:
    """A file by path, or by its name in a model folder. Raises SettingsError."""
    if Path(name).is_dir():
        inside = sorted(path for end in _WEIGHT_FILES for path in Path(name).glob(f"*/*{end}"))
        raise SettingsError(
            f"{name} is a folder; this takes one file.",
            hint=f"Name one of its files, such as {inside[0]}, or convert the folder to a file."
            if inside
            else "Name a weight file. There are none in the folders of this one.",
        )
    if Path(name).exists():
        return Path(name)
    found = {
        folders.model_path(kind, file)
        for kind in sorted(set(folders.models) - _NOT_WEIGHTS)
        for file in folders.model_names(kind)
        if name in (file, f"{kind}/{file}", Path(file).name, Path(file).stem)
    }
    if len(found) == 1:
        return found.pop()
    if found:
        raise SettingsError(f"Several files are called {name}.", hint=f"Name one by its path: {_listed(found)}.")
    raise SettingsError(f"There is no weight file {name}.", hint="`python3 main.py models list` names those there are.")


def _store(settings: Settings) -> ModelStore:
    """A store that probes no device: nothing is computed."""
    from engine.families.model_store import ModelStore
    from engine.families.registry import find_families
    from engine.memory.device import cpu_device
    from engine.memory.network import NetworkHost

    host = NetworkHost(cpu_device(), 0)
    hosts = {"network": host, "text_encoder": host, "vae": host, "upscaler": host}
    return ModelStore(hosts, find_families(), conversion=_conversion(settings))  # type: ignore[arg-type]


def _conversion(settings: Settings) -> Any:
    from engine.weights.pickles import ConversionPolicy

    return ConversionPolicy(settings.folders.data / "converted", allow_unusual=settings.allow_unsafe_pickles)


def _plain(facts: FileFacts) -> dict[str, Any]:
    parts = [
        {"name": p.name, "tensors": p.num_tensors, "values": p.num_values, "bytes_by_dtype": dict(p.num_bytes)}
        for p in facts.parts
    ]
    names = ("family", "kind", "description", "prediction", "problem")
    return {**{n: getattr(facts, n) for n in names}, "parts": parts, "unexplained": list(facts.unexplained)}


def _dtype(facts: FileFacts) -> str:
    """The dtype of the largest part."""
    largest = max(facts.parts, key=lambda part: sum(part.num_bytes.values()), default=None)
    return "" if largest is None else largest.dtype


def _byte_progress(line: ProgressLine, path: Path) -> Callable[[int], None]:
    total, shown_s = path.stat().st_size, 0.0

    def show(done: int) -> None:
        nonlocal shown_s
        if time.monotonic() - shown_s > 0.5:
            shown_s = time.monotonic()
            line.show(f"{path.name}: {_size(done)} of {_size(total)}")

    return show


def _listed(paths: set[Path]) -> str:
    return ", ".join(sorted(map(str, paths)))


def _size(num_bytes: float) -> str:
    for unit in _UNITS[:-1]:
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} {_UNITS[-1]}"


def _print_table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(titles, *rows)]
    for row in (titles, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
