"""Staged files and their names."""

import hashlib
import time

import pytest

from engine.core.errors import NodeError
from engine.worker.staging import checked_prefix, expand_tokens, stage_bytes, stage_file

NOW = time.strptime("2024-03-05 06:07:08", "%Y-%m-%d %H:%M:%S")


def test_a_staged_file_is_named_by_its_content_and_no_two_share_a_name(tmp_path):
    first, second = (stage_bytes(tmp_path / "staging", b"data", "PNG") for _ in range(2))
    assert first != second
    for name in (first, second):
        digest, unique, extension = name.split(".")
        assert digest == hashlib.sha256(b"data").hexdigest()
        assert (len(unique), extension) == (12, "png")
        assert (tmp_path / "staging" / name).read_bytes() == b"data"
    assert len(list((tmp_path / "staging").iterdir())) == 2


def test_a_weight_file_can_be_staged(tmp_path):
    assert stage_bytes(tmp_path, b"", "safetensors").endswith(".safetensors")


def test_a_file_its_writer_gives_up_leaves_nothing(tmp_path):
    def write(path):
        path.write_bytes(b"half")
        raise ValueError("cancelled")

    with pytest.raises(ValueError, match="cancelled"):
        stage_file(tmp_path, write, "safetensors")
    assert list(tmp_path.iterdir()) == []
    name, size_bytes = stage_file(tmp_path, lambda path: path.write_bytes(b"whole"), "safetensors")
    assert (name.split(".")[0], size_bytes) == (hashlib.sha256(b"whole").hexdigest(), 5)


@pytest.mark.parametrize("extension", ["", "a/b", "..", "p ng", "x" * 17, ".png"])
def test_a_strange_extension_is_refused(tmp_path, extension):
    with pytest.raises(NodeError, match="not a file extension"):
        stage_bytes(tmp_path, b"", extension)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("%year%-%month%-%day%", "2024-03-05"),
        ("%hour%%minute%%second%", "060708"),
        ("a/%width%x%height%", "a/640x480"),
        ("b%batch_num%", "b3"),
        ("100%", "100%"),
        ("%unknown%", "%unknown%"),
        ("%%width%%", "%640%"),
    ],
)
def test_tokens_are_replaced(prefix, expected):
    assert expand_tokens(prefix, width_px=640, height_px=480, batch_number=3, now=NOW) == expected


def test_a_prefix_inside_the_folder_keeps_its_folders(tmp_path):
    assert checked_prefix(tmp_path, "a\\b/c") == "a/b/c"


def test_a_prefix_through_a_link_that_leads_outside_is_refused(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path)
    with pytest.raises(NodeError, match="leads outside"):
        checked_prefix(tmp_path / "root", "link/x")
