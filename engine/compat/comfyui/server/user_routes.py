"""/users, /settings, /userdata."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web

from engine.compat.comfyui.server.requests import Handler, empty, read_json, refusal, say
from engine.compat.comfyui.server.user_files import UnknownUser, UserFiles
from engine.core.errors import ConflictError, ContainmentError, GraphError, NotFoundError
from engine.server.file_replies import data_reply

__all__ = ["ROUTES", "USER_FILES"]

USER_FILES: web.AppKey[UserFiles] = web.AppKey("comfyui_user_files", UserFiles)
_FALSE = ("false", "0", "no", "off", "")


def _is_true(request: web.Request, name: str, default: bool = False) -> bool:
    text = request.query.get(name)
    return default if text is None else text.lower() not in _FALSE


async def _user(request: web.Request) -> tuple[UserFiles, str]:
    files = request.app[USER_FILES]
    return files, await asyncio.to_thread(files.user_of, request.headers.get("comfy-user"))


# ------------------------------------------------------------------ users and settings


async def get_users(request: web.Request) -> web.Response:
    """Who may use the server."""
    files = request.app[USER_FILES]
    if files.is_multi_user:
        return say({"storage": "server", "users": await asyncio.to_thread(files.users)})
    exists = await asyncio.to_thread(files.root("default").is_dir)
    return say({"storage": "server", "migrated": exists})


async def post_users(request: web.Request) -> web.Response:
    """Add a user."""
    body = await read_json(request)
    name = body.get("username") if isinstance(body, dict) else None
    if not isinstance(name, str):
        raise GraphError("username must be a text.", code="bad_user_name")
    try:
        return say(await asyncio.to_thread(request.app[USER_FILES].add_user, name))
    except ConflictError as error:
        return say({"error": error.message}, 400)


async def get_settings(request: web.Request) -> web.Response:
    """All settings of the user."""
    try:
        files, user = await _user(request)
    except UnknownUser as error:
        return refusal(401, error.code, error.message)
    return say(await asyncio.to_thread(files.settings, user))


async def get_setting(request: web.Request) -> web.Response:
    """One setting; null when it was never set."""
    try:
        files, user = await _user(request)
    except UnknownUser as error:
        return refusal(401, error.code, error.message)
    return say((await asyncio.to_thread(files.settings, user)).get(request.match_info["id"]))


async def post_settings(request: web.Request) -> web.Response:
    """Merge settings into the stored ones."""
    body = await read_json(request)
    if not isinstance(body, dict):
        raise GraphError("The body must be an object of settings.", code="bad_request")
    return await _change(request, body)


async def post_setting(request: web.Request) -> web.Response:
    """Set one setting."""
    return await _change(request, {request.match_info["id"]: await read_json(request)})


async def _change(request: web.Request, changes: dict[str, Any]) -> web.Response:
    try:
        files, user = await _user(request)
    except UnknownUser as error:
        return refusal(401, error.code, error.message)
    await asyncio.to_thread(files.change_settings, user, changes)
    return empty()


# ------------------------------------------------------------------ files


async def list_files(request: web.Request) -> web.Response:
    """The files of one of the user's folders."""
    folder = request.query.get("dir", "")
    if not folder:
        return refusal(400, "no_dir", "The query must name a dir.")
    files, user = await _user(request)
    recurse, full, split = (_is_true(request, name) for name in ("recurse", "full_info", "split"))

    def listing() -> list[Any]:
        root = files.folder(user, folder)
        found: list[Any] = []
        for path in files.files(root, recurse=recurse):
            name = path.relative_to(root).as_posix()
            if full:
                found.append(files.facts(user, path, root))
            else:
                found.append([name, *name.split("/")] if split else name)
        return found

    return say(await asyncio.to_thread(listing))


async def list_tree(request: web.Request) -> web.Response:
    """Folders and files below one of the user's folders, folders first."""
    files, user = await _user(request)
    try:
        return say(await asyncio.to_thread(_tree, files, user, request.query.get("path", "")))
    except ContainmentError as error:
        return refusal(400, error.code, error.message)


def _tree(files: UserFiles, user: str, name: str) -> list[dict[str, Any]]:
    root = files.root(user)
    start = files.folder(user, name) if name or root.is_dir() else None
    if start is None:
        return []
    folders = [
        {"name": path.name, "path": path.relative_to(root).as_posix(), "type": "directory"}
        for path in files.folders(start)
    ]
    found = []
    for path in files.files(start, recurse=True):
        facts = files.facts(user, path)
        modified_s = facts["modified"] / 1000
        entry = {"name": path.name, "path": facts["path"], "type": "file", "size": facts["size"]}
        found.append({**entry, "modified": modified_s})
    return sorted(folders, key=_by_name) + sorted(found, key=_by_name)


def _by_name(entry: dict[str, Any]) -> str:
    return str(entry["name"]).lower()


async def get_file(request: web.Request) -> web.Response:
    """The bytes of a file."""
    files, user = await _user(request)
    name = request.match_info["file"]
    data = await asyncio.to_thread(files.read, user, name)
    return data_reply(data, name.rpartition("/")[2])


async def post_file(request: web.Request) -> web.Response:
    """Store a file."""
    files, user = await _user(request)
    name = request.match_info["file"]
    overwrite, full = _is_true(request, "overwrite", True), _is_true(request, "full_info")
    data = await request.read()
    path = await asyncio.to_thread(lambda: files.write(user, name, data, overwrite=overwrite))
    return await _named(files, user, path, full)


async def delete_file(request: web.Request) -> web.Response:
    """Remove a file."""
    files, user = await _user(request)
    await asyncio.to_thread(files.delete, user, request.match_info["file"])
    return empty(204)


async def move_file(request: web.Request) -> web.Response:
    """Rename a file."""
    files, user = await _user(request)
    overwrite, full = _is_true(request, "overwrite", True), _is_true(request, "full_info")
    source, target = request.match_info["file"], request.match_info["dest"]
    path = await asyncio.to_thread(lambda: files.move(user, source, target, overwrite=overwrite))
    return await _named(files, user, path, full)


async def _named(files: UserFiles, user: str, path: Path, full: bool) -> web.Response:
    try:
        facts = await asyncio.to_thread(files.facts, user, path)
    except FileNotFoundError:
        raise NotFoundError("The file was removed meanwhile.") from None
    return say(facts if full else facts["path"])


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/users", get_users),
    ("POST", "/users", post_users),
    ("GET", "/settings", get_settings),
    ("GET", "/settings/{id}", get_setting),
    ("POST", "/settings", post_settings),
    ("POST", "/settings/{id}", post_setting),
    ("GET", "/userdata", list_files),
    ("GET", "/v2/userdata", list_tree),
    ("GET", "/userdata/{file}", get_file),
    ("POST", "/userdata/{file}", post_file),
    ("DELETE", "/userdata/{file}", delete_file),
    ("POST", "/userdata/{file}/move/{dest}", move_file),
)
