"""Textual inversion files in a prompt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.families.text.chunks import ChunkForm, tokenize_chunks
from engine.families.text.textual_inversion import EmbeddingFiles
from engine.weights.checkpoint import Checkpoint, open_checkpoint
from engine.weights.pickles import ConversionPolicy

WIDTH = 4


def files(folder: Path) -> EmbeddingFiles:
    def opened(path: Path) -> Checkpoint:
        return open_checkpoint(path, ConversionPolicy(folder.parent / "converted"))

    return EmbeddingFiles((folder,), opened)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "embeddings"
    (made / "sub").mkdir(parents=True)
    save_file({"emb_params": torch.arange(8.0).view(2, WIDTH)}, made / "two.safetensors")
    save_file({"emb_params": torch.ones(WIDTH)}, made / "sub" / "one.safetensors")
    save_file({"clip_l": torch.full((1, WIDTH), 5.0), "clip_g": torch.ones(1, 9)}, made / "both.safetensors")
    save_file({"emb_params": torch.ones(3, 9)}, made / "wide.safetensors")
    (made / "broken.safetensors").write_bytes(b"\0" * 20)
    return made


def found(folder: Path, text: str) -> tuple[list[list[float]], list[str], list[int]]:
    """Vectors, warnings and token ids a text gives; every letter is a token."""
    warnings: list[str] = []
    (chunk,) = tokenize_chunks(
        text,
        lambda part: [ord(c) for c in part if c != " "],
        ChunkForm(),
        files(folder),
        WIDTH,
        warn=warnings.append,
    )
    vectors = [entry[0].tolist() for entry in chunk if isinstance(entry[0], torch.Tensor)]
    letters = [entry[0] for entry in chunk if not isinstance(entry[0], torch.Tensor) and entry[0] < 40_000]
    return vectors, warnings, letters


def test_a_name_becomes_its_vectors_in_place(folder: Path) -> None:
    vectors, warnings, letters = found(folder, "x embedding:two y")
    assert vectors == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert warnings == []
    assert letters == [ord("x"), ord("y")]


def test_vectors_take_the_weight_of_their_brackets(folder: Path) -> None:
    (chunk,) = tokenize_chunks("(embedding:two:1.4)", lambda part: [], ChunkForm(), files(folder), WIDTH)
    assert [entry[1] for entry in chunk[1:3]] == [1.4, 1.4]


def test_a_comma_after_the_name_is_text(folder: Path) -> None:
    vectors, warnings, letters = found(folder, "embedding:two, x")
    assert len(vectors) == 2
    assert warnings == []
    assert letters == [ord(","), ord("x")]


def test_names_may_have_an_extension_and_a_folder(folder: Path) -> None:
    assert found(folder, "embedding:two.safetensors")[0] == found(folder, "embedding:two")[0]
    assert found(folder, "embedding:sub/one")[0] == [[1, 1, 1, 1]]


def test_a_file_for_several_encoders_gives_the_vectors_of_this_one(folder: Path) -> None:
    assert found(folder, "embedding:both")[0] == [[5, 5, 5, 5]]


def test_vectors_of_another_width_are_left_out_with_a_warning(folder: Path) -> None:
    vectors, warnings, letters = found(folder, "embedding:wide z")
    assert vectors == []
    assert "width 9" in warnings[0]
    assert letters == [ord("z")]


def test_a_broken_file_is_left_out_with_a_warning(folder: Path) -> None:
    vectors, warnings, _ = found(folder, "embedding:broken")
    assert vectors == []
    assert "broken" in warnings[0]


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..\\secret", "", "a:b"])
def test_a_name_never_leads_out_of_the_folder(folder: Path, name: str) -> None:
    save_file({"emb_params": torch.ones(1, WIDTH)}, folder.parent / "secret.safetensors")
    vectors, warnings, _ = found(folder, f"embedding:{name}")
    assert vectors == []
    assert len(warnings) == 1


def test_both_pickled_forms_are_read(folder: Path) -> None:
    torch.save(
        {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": {"*": torch.ones(1, WIDTH)}}, folder / "web.pt"
    )
    torch.save({"<concept>": torch.full((WIDTH,), 2.0)}, folder / "learned.bin")
    assert found(folder, "embedding:web")[0] == [[1, 1, 1, 1]]
    assert found(folder, "embedding:learned")[0] == [[2, 2, 2, 2]]


def test_a_file_that_changes_is_read_again(folder: Path) -> None:
    library = files(folder)
    before = library.find("two", WIDTH).vectors
    save_file({"emb_params": torch.zeros(1, WIDTH)}, folder / "two.safetensors")
    after = library.find("two", WIDTH).vectors
    assert before is not None
    assert after is not None
    assert (before.shape, after.shape) == ((2, WIDTH), (1, WIDTH))
