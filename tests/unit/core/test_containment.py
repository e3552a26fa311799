"""The one function that turns untrusted names into paths."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.containment import check_relative_name, open_inside, resolve_inside
from engine.core.errors import ContainmentError

HOSTILE = [
    "../secret",
    "a/../../secret",
    "..\\secret",
    "a\\..\\..\\secret",
    "/etc/passwd",
    "\\\\host\\share\\x",
    "//host/share/x",
    "C:\\windows\\win.ini",
    "c:secret",
    "file.png:stream",
    "a\0b",
    "a\nb",
    "a\rb",
    "\x7f",
    "nul",
    "CON.txt",
    "sub/COM1",
    "x" * 5000,
    "..",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ContainmentError):
        resolve_inside(tmp_path, name)


@pytest.mark.parametrize("name", ["a.png", "sub/a.png", "sub\\a.png", "späße/ü.png", "a..b", "...", "a b", "%2e%2e%2f"])
def test_a_plain_name_stays_inside(tmp_path: Path, name: str) -> None:
    assert tmp_path.resolve() in resolve_inside(tmp_path, name).parents


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret.txt"
    root.mkdir()
    secret.write_text("secret")
    (root / "link.txt").symlink_to(secret)
    (root / "folder").symlink_to(tmp_path)
    for name in ("link.txt", "folder/secret.txt"):
        with pytest.raises(ContainmentError):
            resolve_inside(root, name)


def test_a_link_that_stays_inside_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("x")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    with open_inside(tmp_path, "link.txt") as stream:
        assert stream.read() == b"x"


def test_a_pipe_is_not_opened_as_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ContainmentError, match="not a regular file"):
        open_inside(tmp_path, "pipe")


def test_a_folder_swapped_for_a_link_during_many_opens_never_shows_the_secret(tmp_path: Path) -> None:
    import threading

    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "a.txt").write_text("secret")
    good = root / "good"
    good.mkdir()
    (good / "a.txt").write_text("public")
    current = root / "current"
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for target in (good, outside):
                temporary = root / "next"
                temporary.symlink_to(target)
                os.replace(temporary, current)

    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    try:
        for _ in range(3000):
            try:
                with open_inside(root, "current/a.txt") as stream:
                    seen.add(stream.read())
            except (ContainmentError, FileNotFoundError):
                seen.add(b"refused")
    finally:
        stop.set()
        thread.join()
    assert b"secret" not in seen


@given(st.text(max_size=60))
def test_whatever_is_accepted_has_no_parent_component(name: str) -> None:
    try:
        plain = check_relative_name(name)
    except ContainmentError:
        return
    assert ".." not in plain.split("/")
    assert not plain.startswith("/")
