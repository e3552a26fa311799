"""CLIP's byte-pair tokenizer. The vocabulary comes with the open_clip package, which is found but not imported.

Merges are listed by falling frequency, so a small text encoder takes the first ones only: a vocabulary of n tokens has
the 512 byte tokens, the first n - 514 merges, and start and end as its last two.

Source: Sennrich et al. 2016, arXiv:1508.07909; text normalisation as in transformers' CLIPTokenizer.
"""

from __future__ import annotations

import gzip
import importlib.util
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import regex

from engine.core.errors import SettingsError

__all__ = ["END_TOKEN", "FULL_VOCABULARY", "START_TOKEN", "ClipTokenizer", "vocabulary_path"]

START_TOKEN = 49406
END_TOKEN = 49407
FULL_VOCABULARY = 49408

_NUM_BYTE_TOKENS = 512
_MAX_REMEMBERED = 50_000
_SPACES = regex.compile(r"\s+")
_SPECIAL = regex.compile(r"(<\|startoftext\|>|<\|endoftext\|>)")
_PIECES = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")


def vocabulary_path() -> Path:
    """The merge list inside the open_clip package. Raises SettingsError when the package is not installed."""
    found = importlib.util.find_spec("open_clip")
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / "bpe_simple_vocab_16e6.txt.gz"
        if path.is_file():
            return path
    raise SettingsError("The vocabulary of open_clip is missing.", hint="Install open_clip_torch.")


class ClipTokenizer:
    """Text → token ids without start and end. Deterministic; remembers words it has split. Thread-safe.

    vocabulary: number of tokens. start, end: ids of the first and last token of a chunk.
    """

    def __init__(self, merges: Path, vocabulary: int = FULL_VOCABULARY) -> None:
        if not _NUM_BYTE_TOKENS + 2 <= vocabulary <= FULL_VOCABULARY:
            raise SettingsError(
                f"CLIP's tokenizer cannot have {vocabulary} tokens.",
                hint=f"{_NUM_BYTE_TOKENS + 2} to {FULL_VOCABULARY} are possible; this file has another vocabulary.",
            )
        self.vocabulary = vocabulary
        self.start, self.end = vocabulary - 2, vocabulary - 1
        letters = _byte_letters()
        self._letters = letters
        pairs = _read_merges(merges, vocabulary - _NUM_BYTE_TOKENS - 2)
        symbols = [letters[byte] for byte in _printable_order()]
        symbols += [f"{symbol}</w>" for symbol in symbols]
        symbols += ["".join(pair) for pair in pairs]
        self._ids = {symbol: index for index, symbol in enumerate(symbols)}
        self._ids["<|startoftext|>"] = self.start
        self._ids["<|endoftext|>"] = self.end
        self._ranks = {pair: rank for rank, pair in enumerate(pairs)}
        self._known: dict[str, tuple[int, ...]] = {}

    @property
    def ids(self) -> Mapping[str, int]:
        """Every token's symbol → its id."""
        return MappingProxyType(self._ids)

    @property
    def merges(self) -> Iterable[tuple[str, str]]:
        """Pairs of symbols, in the order they are merged."""
        return self._ranks.keys()

    def encode(self, text: str) -> list[int]:
        """Token ids of a text."""
        return [token for piece in self._split(text) for token in self._tokens(piece)]

    def _split(self, text: str) -> Iterator[str]:
        for part in _SPECIAL.split(text):
            if _SPECIAL.fullmatch(part):
                yield part
            else:
                plain = _SPACES.sub(" ", unicodedata.normalize("NFC", part)).lower()
                yield from _PIECES.findall(plain)

    def _tokens(self, piece: str) -> tuple[int, ...]:
        known = self._known.get(piece)
        if known is not None:
            return known
        if _SPECIAL.fullmatch(piece):
            tokens: tuple[int, ...] = (self._ids[piece],)
        else:
            word = [self._letters[byte] for byte in piece.encode("utf-8")]
            word[-1] += "</w>"
            tokens = tuple(self._ids[symbol] for symbol in self._merge(word))
        if len(self._known) < _MAX_REMEMBERED:
            self._known[piece] = tokens
        return tokens

    def _merge(self, word: list[str]) -> list[str]:
        """Join neighbours by the best-ranked pair until none is in the list.

        A piece of n bytes takes at most n rounds; very long ones are cut, which no vocabulary word reaches.
        """
        if len(word) > 512:
            return [symbol for start in range(0, len(word), 512) for symbol in self._merge(word[start : start + 512])]
        while len(word) > 1:
            rank, best = min(
                ((self._ranks.get(pair, FULL_VOCABULARY), pair) for pair in pairwise(word)), key=lambda item: item[0]
            )
            if rank == FULL_VOCABULARY:
                break
            word = _join(word, best)
        return word


def _join(word: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    index = 0
    while index < len(word):
        if index + 1 < len(word) and (word[index], word[index + 1]) == pair:
            joined.append(word[index] + word[index + 1])
            index += 2
        else:
            joined.append(word[index])
            index += 1
    return joined


def _read_merges(path: Path, num_merges: int) -> list[tuple[str, str]]:
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")[1 : num_merges + 1]
    return [(first, second) for first, second in (line.split() for line in lines)]


def _printable_order() -> list[int]:
    """Byte values, printable ones first, in the order of the vocabulary."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return printable + [byte for byte in range(256) if byte not in frozenset(printable)]


def _byte_letters() -> dict[int, str]:
    """A visible letter for every byte: itself if printable, else one from U+0100 on."""
    order = _printable_order()
    first_hidden = 0x7F - 0x21 + 0xAD - 0xA1 + 0x100 - 0xAE
    return {
        byte: chr(byte) if place < first_hidden else chr(0x100 + place - first_hidden)
        for place, byte in enumerate(order)
    }
