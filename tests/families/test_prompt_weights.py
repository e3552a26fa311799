"""Weights in a prompt, and what chunks of tokens become of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.families.text.chunks import ChunkForm, tokenize_chunks
from engine.families.text.prompt import parse_prompt
from engine.families.text.textual_inversion import EmbeddingFiles
from engine.families.text.tokenizer import END_TOKEN, START_TOKEN
from engine.weights.checkpoint import open_checkpoint


def parts(text: str) -> list[tuple[str, float]]:
    return [(part.text, round(part.weight, 6)) for part in parse_prompt(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("a cat", [("a cat", 1.0)]),
        ("a (red:1.3) cat", [("a ", 1.0), ("red", 1.3), (" cat", 1.0)]),
        ("(a)", [("a", 1.1)]),
        ("((a))", [("a", 1.21)]),
        ("(a (b) c)", [("a ", 1.1), ("b", 1.21), (" c", 1.1)]),
        ("((a:1.5) b)", [("a", 1.5), (" b", 1.1)]),
        ("(a:0.5)(b:2)", [("a", 0.5), ("b", 2.0)]),
        ("(a:-1)", [("a", -1.0)]),
        ("(a:b)", [("a:b", 1.1)]),
        ("(a:b:1.2)", [("a:b", 1.2)]),
        ("(:1.2)", [(":1.2", 1.1)]),
        (r"fox \(plush\)", [("fox (plush)", 1.0)]),
        (r"(fox \(plush\):1.2)", [("fox (plush)", 1.2)]),
        ("open (bracket", [("open ", 1.0), ("(bracket", 1.0)]),
        ("closed) bracket", [("closed) bracket", 1.0)]),
        ("[a] {b}", [("[a] {b}", 1.0)]),
        ("()", []),
        ("a:1.2", [("a:1.2", 1.0)]),
        ("(open (d:1.2)", [("open ", 1.2), ("(d", 1.2)]),
        ("((((a)))", [("(a", 1.331)]),
        ("a) (b:2) c", [("a) (b:2) c", 1.0)]),
        ("a) ((b)) c", [("a) (", 1.0), ("b", 1.1), (") c", 1.0)]),
        ("(a:1e1)(b:inf)(c:nan)", [("a", 10.0), ("b:inf", 1.1), ("c:nan", 1.1)]),
        ("(a (b):1.3)", [("a ", 1.3), ("b", 1.43)]),
    ],
)
def test_brackets_give_weights(text: str, wanted: list[tuple[str, float]]) -> None:
    assert parts(text) == wanted


@pytest.mark.parametrize("opens", [100_000, 99_999, 50_000])
def test_brackets_may_nest_as_deep_as_they_like(opens: int) -> None:
    parts_found = parse_prompt("(" * opens + "a" + ")" * 100_000)
    assert "a" in parts_found[0].text


def split_once_more(text: str, weight: float = 1.0) -> list[tuple[str, float]]:
    """The rules said again, level by level; quadratic."""
    found: list[tuple[str, float]] = []
    pieces, current, depth = [], "", 0
    for character in text:
        if character == "(":
            if depth == 0:
                pieces.append(current)
                current = ""
            depth += 1
        current += character
        if character == ")":
            depth -= 1
            if depth == 0:
                pieces.append(current)
                current = ""
    for piece in [*pieces, current]:
        if len(piece) > 1 and piece[0] == "(" and piece[-1] == ")":
            inner, colon, number = piece[1:-1].rpartition(":")
            try:
                found += (
                    split_once_more(inner, float(number))
                    if inner and colon
                    else split_once_more(piece[1:-1], weight * 1.1)
                )
            except ValueError:
                found += split_once_more(piece[1:-1], weight * 1.1)
        elif piece:
            found.append((piece, weight))
    return found


@given(st.text("ab():1.", max_size=30))
def test_the_single_pass_agrees_with_the_rules_level_by_level(text: str) -> None:
    wanted = [(part, round(weight, 6)) for part, weight in split_once_more(text)]
    assert parts(text) == wanted


@given(st.text("ab(): \\1.", max_size=40))
def test_any_text_is_a_prompt(text: str) -> None:
    for part in parse_prompt(text):
        assert "\0" not in part.text


@given(st.text("abc ,.", max_size=60))
def test_text_without_brackets_is_one_part(text: str) -> None:
    assert parts(text) == ([(text, 1.0)] if text else [])


FORM = ChunkForm()


def words(text: str) -> Sequence[int]:
    """One token a word: the number in it."""
    return [int(word) for word in text.replace(",", " ").split()]


def chunked(text: str, *, form: ChunkForm = FORM, **options: bool) -> list[list[tuple]]:
    return tokenize_chunks(text, words, form, EmbeddingFiles((), open_checkpoint), 4, **options)


def numbers(count: int, start: int = 1) -> str:
    return " ".join(str(number) for number in range(start, start + count))


def tokens(chunk: list[tuple]) -> list[int]:
    return [entry[0] for entry in chunk]


def test_an_empty_text_is_one_chunk_of_start_and_ends() -> None:
    assert chunked("") == [[(START_TOKEN, 1.0)] + [(END_TOKEN, 1.0)] * 76]


def test_tokens_carry_the_weight_of_their_brackets() -> None:
    (chunk,) = chunked("1 (2 3:1.5) 4")
    assert chunk[:6] == [(START_TOKEN, 1.0), (1, 1.0), (2, 1.5), (3, 1.5), (4, 1.0), (END_TOKEN, 1.0)]


def test_seventy_five_tokens_fill_a_chunk_and_one_more_begins_another() -> None:
    assert len(chunked(numbers(75))) == 1
    first, second = chunked(numbers(76))
    assert tokens(first) == [START_TOKEN, *range(1, 76), END_TOKEN]
    assert tokens(second)[:3] == [START_TOKEN, 76, END_TOKEN]


def test_a_long_stretch_is_cut_where_the_chunk_ends() -> None:
    first, second = chunked(f"{numbers(70)} (100 101 102 103 104 105 106 107:1.2)")
    assert tokens(first)[71:76] == [100, 101, 102, 103, 104]
    assert tokens(second)[1:4] == [105, 106, 107]


def test_a_short_stretch_moves_to_the_next_chunk_whole() -> None:
    first, second = chunked(f"{numbers(70)} (100 101 102 103 104 105 106:1.2)")
    assert tokens(first)[71:] == [END_TOKEN] * 6
    assert tokens(second)[1:9] == [100, 101, 102, 103, 104, 105, 106, END_TOKEN]


def test_word_numbers_count_the_stretches() -> None:
    (chunk,) = chunked("1 (2:1.5) 3", word_ids=True)
    assert chunk[:5] == [(START_TOKEN, 1.0, 0), (1, 1.0, 1), (2, 1.5, 2), (3, 1.0, 3), (END_TOKEN, 1.0, 0)]


def test_padding_may_be_another_token_than_the_end() -> None:
    (chunk,) = chunked("1", form=ChunkForm(length=6, padding=0))
    assert tokens(chunk) == [START_TOKEN, 1, END_TOKEN, 0, 0, 0]


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=12))
def test_chunks_are_full_length_and_lose_no_token(stretches: list[tuple[int, bool]]) -> None:
    text, total = "", 0
    for count, is_weighted in stretches:
        piece = numbers(count, total + 1)
        text += f" ({piece}:1.3)" if is_weighted else f" {piece}"
        total += count
    chunks = chunked(text)
    assert {len(chunk) for chunk in chunks} == {77}
    found = [token for chunk in chunks for token in tokens(chunk) if token not in (START_TOKEN, END_TOKEN)]
    assert found == list(range(1, total + 1))
    assert all(tokens(chunk)[0] == START_TOKEN and END_TOKEN in tokens(chunk) for chunk in chunks)


def test_an_embedding_that_is_not_there_is_left_out_with_a_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    files = EmbeddingFiles((tmp_path,), open_checkpoint)
    chunk = tokenize_chunks("1 embedding:none 2", words, ChunkForm(), files, 4, warn=warnings.append)[0]
    assert tokens(chunk)[:4] == [START_TOKEN, 1, 2, END_TOKEN]
    assert warnings == ["There is no embedding 'none'; it was left out."]
