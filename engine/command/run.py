"""`main.py run FILE`: run a workflow on a private engine (no network), show progress, print the outputs' paths."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from engine.command.arguments import FlagParser, add_server_flags, settings_from_flags
from engine.command.graph_file import LoadedGraph, apply_setting, load_graph
from engine.command.progress_line import ProgressLine
from engine.command.provision import provision
from engine.command.session import private_settings, wait_until_ready
from engine.core.errors import AtelierError, GraphError
from engine.core.settings import Settings
from engine.server.core import Engine
from engine.server.records import SUCCEEDED, JobRecord, JobRequest

__all__ = ["main"]


def main(root: Path, arguments: list[str]) -> int:
    """Run the file; returns 0 when it succeeded, 1 when it failed, 2 when it was refused."""
    parser = FlagParser(prog="main.py run", description="Run a workflow, a prompt, or a picture that carries one.")
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.INPUT=VALUE", help="NODE is an id, a title or a node type"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the output folder")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_server_flags(parser)
    flags = parser.parse_args(arguments)
    if flags.out is not None:
        flags.output_directory = flags.out
    settings = private_settings(settings_from_flags(root, flags, arguments))
    provision(settings.folders)
    try:
        return asyncio.run(_run(settings, flags.file, flags.set, flags.json))
    except GraphError as error:
        _print_complaints(error)
        raise


async def _run(settings: Settings, file: Path, changes: list[str], as_json: bool) -> int:
    started = time.monotonic()
    line = ProgressLine(sys.stderr)
    async with Engine.open(settings) as engine:
        line.show("loading nodes")
        await wait_until_ready(engine)
        loaded = load_graph(file, engine.services.catalog.current)
        for change in changes:
            apply_setting(loaded.prompt, change)
        submission = await engine.submit(_request(loaded))
        for complaint in submission.complaints:
            line.note(f"left out: node {complaint.node}: {complaint.message}")
        titles = {key: node.get("_meta", {}).get("title") or node["class_type"] for key, node in loaded.prompt.items()}
        async for event in engine.follow(submission.job.id):
            line.event(event, titles)
        job = await engine.get(submission.job.id)
        files = await _files(engine, settings, job)
    line.close()
    _print_result(job, files, time.monotonic() - started, as_json)
    return 0 if job.state == SUCCEEDED else 1


def _request(loaded: LoadedGraph) -> JobRequest:
    extra = {"extra_pnginfo": {"workflow": loaded.workflow}} if loaded.workflow is not None else {}
    return JobRequest(document=loaded.prompt, extra=extra)


async def _files(engine: Engine, settings: Settings, job: JobRecord) -> list[str]:
    """The paths of everything the job shows, made now or served from the cache, in node order."""
    paths = []
    for ui in job.outputs.values():
        for entries in ui.values():
            for entry in entries:
                if isinstance(entry, dict) and "filename" in entry:
                    root = settings.folders.root(entry.get("type", "output"))
                    paths.append(str(root / entry.get("subfolder", "") / entry["filename"]))
    return paths


def _texts(job: JobRecord) -> dict[str, Any]:
    return {node: ui["text"] for node, ui in job.outputs.items() if "text" in ui}


def _print_result(job: JobRecord, files: list[str], seconds: float, as_json: bool) -> None:
    if as_json:
        record = {"job": job.id, "state": job.state, "seconds": round(seconds, 3), "files": files}
        record |= {"texts": _texts(job), "ran": list(job.ran), "cached": list(job.cached), "error": job.error}
        print(json.dumps(record, indent=2))
        return
    for path in files:
        print(path)
    for texts in _texts(job).values():
        print("\n".join(map(str, texts)))
    if job.state != SUCCEEDED:
        error = job.error or {}
        where = f" in node {error['node']}" if error.get("node") else ""
        print(f"Job {job.state}{where}: {error.get('message', '')}", file=sys.stderr)
        if error.get("hint"):
            print(error["hint"], file=sys.stderr)


def _print_complaints(error: AtelierError) -> None:
    for complaint in error.details.get("complaints", []):
        place = f"node {complaint.get('node')}" + (f", input {complaint['input']}" if complaint.get("input") else "")
        print(f"  {place}: {complaint.get('message')} {complaint.get('remedy') or ''}".rstrip(), file=sys.stderr)
