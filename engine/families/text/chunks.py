"""From a text to padded chunks of weighted tokens, the form text encoders take."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.families.contract import Warn
from engine.families.text.prompt import parse_prompt
from engine.families.text.textual_inversion import EmbeddingFiles
from engine.families.text.tokenizer import END_TOKEN, FULL_VOCABULARY, START_TOKEN

__all__ = ["ChunkForm", "tokenize_chunks"]

_EMBEDDING = "embedding:"
_BEFORE_EMBEDDING = re.compile(rf"[ \n](?={_EMBEDDING})")


@dataclass(frozen=True, slots=True)
class ChunkForm:
    """Length and special tokens of a chunk; groups shorter than `min_split` tokens stay in one chunk.

    embedding_key: under which key a file of embeddings for several encoders holds those of this one.
    """

    length: int = 77
    start: int = START_TOKEN
    end: int = END_TOKEN
    padding: int = END_TOKEN
    min_split: int = 8
    embedding_key: str = "clip_l"

    def for_vocabulary(self, vocabulary: int) -> ChunkForm:
        """The same form for a token table of this many rows: in a small one start and end are the last two."""
        if vocabulary >= FULL_VOCABULARY:
            return self
        end = vocabulary - 1
        return replace(self, start=end - 1, end=end, padding=end if self.padding == self.end else self.padding)


Group = list[tuple[Any, float]]
"""Tokens (or vectors) with weights that belong together: one stretch of text, or one embedding."""


def tokenize_chunks(
    text: str,
    encode: Callable[[str], Sequence[int]],
    form: ChunkForm,
    embeddings: EmbeddingFiles,
    width: int,
    *,
    word_ids: bool = False,
    warn: Warn | None = None,
) -> list[list[tuple[Any, ...]]]:
    """Chunks of `form.length` pairs (token id or vector [d], weight), with `word_ids` triples that count the groups.

    Args:
        text: the prompt.
        encode: text → token ids without start and end.
        form: shape of a chunk.
        embeddings: where `embedding:name` is looked up.
        width: width of the encoder's token embeddings; vectors of another width are ignored with a warning.
    """
    groups: list[Group] = []
    for part in parse_prompt(text):
        for word in _BEFORE_EMBEDDING.split(part.text):
            rest = word
            if word.startswith(_EMBEDDING):
                found = embeddings.find(word[len(_EMBEDDING) :].strip("\n"), width, warn, form.embedding_key)
                if found.vectors is not None:
                    groups.append([(vector, part.weight) for vector in found.vectors])
                rest = found.rest
            if rest.strip():
                groups.append([(token, part.weight) for token in encode(rest)])
    chunks = _pack(groups, form)
    return chunks if word_ids else [[entry[:2] for entry in chunk] for chunk in chunks]


def _pack(groups: list[Group], form: ChunkForm) -> list[list[tuple[Any, float, int]]]:
    """Fill chunks with groups; a short group that does not fit begins the next chunk, a long one is cut."""
    chunks: list[list[tuple[Any, float, int]]] = [[(form.start, 1.0, 0)]]
    for number, group in enumerate(groups, start=1):
        entries = [(token, weight, number) for token, weight in group]
        is_long = len(entries) >= form.min_split
        while entries:
            room = form.length - 1 - len(chunks[-1])
            if len(entries) <= room:
                chunks[-1].extend(entries)
                break
            if is_long:
                chunks[-1].extend(entries[:room])
                entries = entries[room:]
            chunks.append([(form.start, 1.0, 0)])
    for chunk in chunks:
        chunk.append((form.end, 1.0, 0))
        chunk.extend([(form.padding, 1.0, 0)] * (form.length - len(chunk)))
    return chunks
