"""The one function that turns an untrusted name into a path inside a root.

Every route, node and command that accepts a file name goes through `resolve_inside`; nothing else joins user text to
a folder. It refuses before touching the disk what can be refused by looking at the text, then resolves symbolic links
and checks again, so a link that leads out of the root is refused as well.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

from engine.core.errors import ContainmentError

__all__ = ["check_relative_name", "open_inside", "resolve_inside"]

_MAX_NAME_LENGTH = 1024
_DRIVE = re.compile(r"^[A-Za-z]:")
_WINDOWS_DEVICES = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$", re.IGNORECASE)


def check_relative_name(name: str) -> str:
    """Return `name` with forward slashes if it is a plain relative path; "" means the root itself.

    Raises ContainmentError for NUL and control characters, absolute paths, drive letters, streams, UNC paths, `..`
    components, Windows device names and names over 1024 characters.
    """
    if len(name) > _MAX_NAME_LENGTH:
        raise ContainmentError("The path is longer than 1024 characters.", hint="Use a shorter name.")
    if any(ord(c) < 32 or ord(c) == 127 for c in name):
        raise ContainmentError("The path contains a control character.", hint="Use printable characters only.")
    plain = name.replace("\\", "/")
    if plain.startswith("/") or _DRIVE.match(plain) or ":" in plain:
        raise ContainmentError(f"{name!r} is not a relative path.", hint="Name a file inside the folder.")
    for part in plain.split("/"):
        if part == ".." or _WINDOWS_DEVICES.match(part.strip()):
            raise ContainmentError(f"{name!r} leads outside its folder.", hint="Name a file inside the folder.")
    return plain


def resolve_inside(root: Path, name: str) -> Path:
    """The real path of `name` below `root`, which need not exist.

    Raises ContainmentError when the name is not a plain relative path or when a symbolic link on the way leads
    outside the root.
    """
    plain = check_relative_name(name)
    real_root = Path(os.path.realpath(root))
    try:
        real = Path(os.path.realpath(real_root / plain))
    except (OSError, ValueError) as error:
        raise ContainmentError(f"{name!r} is not a usable path.", hint="Name a file inside the folder.") from error
    if real != real_root and real_root not in real.parents:
        raise ContainmentError(f"{name!r} leads outside its folder.", hint="Name a file inside the folder.")
    return real


def open_inside(root: Path, name: str) -> BinaryIO:
    """Open a regular file below `root` for reading; the check and the open look at the same file.

    Raises ContainmentError as `resolve_inside`, and for devices, pipes and links swapped in after the check;
    FileNotFoundError when there is no such file.
    """
    real = resolve_inside(root, name)
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(real, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ContainmentError(f"{name!r} cannot be opened as a file.") from error
    stream = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        stream.close()
        raise ContainmentError(f"{name!r} is not a regular file.")
    if os.path.exists("/proc/self/fd"):
        opened = Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # the kernel's answer; nothing left to resolve
        real_root = Path(os.path.realpath(root))
        if real_root not in opened.parents:
            stream.close()
            raise ContainmentError(f"{name!r} leads outside its folder.")
    return stream
