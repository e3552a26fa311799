"""The CLIP handle of families with one CLIP text encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from engine.core.digest import digest_value
from engine.core.errors import NodeError
from engine.families.adapters.text_names import NO_NAMES, TextNames
from engine.families.contract import TextEncoding, TokenBatches, Warn
from engine.families.text.chunks import ChunkForm, tokenize_chunks
from engine.families.text.textual_inversion import EmbeddingFiles
from engine.families.text.tokenizer import FULL_VOCABULARY, ClipTokenizer
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.text_transformer import TextConfig, TextStates
from engine.weights.patched import PatchedWeights
from engine.weights.patches import NO_PATCHES, PatchSet

__all__ = ["ClipTextEncoder", "TextTools", "weigh_tokens"]

_BYTES_PER_CELL = 64


@dataclass(frozen=True, slots=True)
class TextTools:
    """What every text encoder of a worker shares: the embeddings folders, and the tokenizer of each size of vocabulary.

    A tokenizer is made when first needed.
    """

    tokenizer: Callable[[int], ClipTokenizer]
    embeddings: EmbeddingFiles


@dataclass(frozen=True, slots=True)
class ClipTextEncoder:
    """One CLIP text transformer behind the CLIP socket.

    key: its name in token batches ("l", "g"). digest: reads the content hash of the file when asked. adapter_names:
    what adapter files put before the names of its modules. default_layer: used unless another is asked for.
    """

    family: str
    key: str
    config: TextConfig
    form: ChunkForm
    source: NetworkSource = field(repr=False)
    host: NetworkHost = field(repr=False)
    tools: TextTools = field(repr=False)
    digest: Callable[[], str] = field(repr=False)
    last_layer: int | None = None
    patches: PatchSet = NO_PATCHES
    adapter_names: TextNames = NO_NAMES
    default_layer: int = -1

    @property
    def identity(self) -> str:
        """Equal identity, equal function: file, part, layer, patches."""
        return digest_value([self.source.identity, self.last_layer, self.patches.identity])

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from."""
        return self.digest()

    @property
    def adapter_modules(self) -> Mapping[str, str]:
        """Every name adapter files use for a module → the module's name in the network."""
        return self.adapter_names.modules(dict.fromkeys(name.rpartition(".")[0] for name in self.source.weights.specs))

    @property
    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every weight of the network, by name."""
        return {name: spec.shape for name, spec in self.source.weights.specs.items()}

    @property
    def weights(self) -> PatchedWeights:
        """The network's weights after its patches."""
        return PatchedWeights(self.source.identity, self.source.weights, self.patches)

    def with_last_layer(self, last_layer: int) -> ClipTextEncoder:
        """Stop at this layer, counted from the end; one the encoder does not have means its last."""
        if last_layer >= 0:
            raise NodeError(f"The last layer must be negative, got {last_layer}.", input="stop_at_clip_layer")
        return replace(self, last_layer=last_layer)

    def with_patches(self, patches: PatchSet) -> ClipTextEncoder:
        """The same encoder with weight patches added."""
        return replace(self, patches=self.patches.plus(patches))

    def foresee(self) -> None:
        """It will be used soon: its weights may come (see `NetworkHost.foresee`)."""
        self.host.foresee(self.source)

    def tokenize(self, text: str, *, word_ids: bool = False, warn: Warn | None = None) -> TokenBatches:
        """Weighted tokens in padded chunks, under the encoder's key."""
        encode = self.tools.tokenizer(min(self.config.vocabulary, FULL_VOCABULARY)).encode
        chunks = tokenize_chunks(
            text, encode, self._form, self.tools.embeddings, self.config.width, word_ids=word_ids, warn=warn
        )
        return {self.key: chunks}

    def encode(self, text: str, *, warn: Warn | None = None) -> TextEncoding:
        """The text as the network sees it."""
        return self.encode_tokens(self.tokenize(text, warn=warn))

    def encode_tokens(self, tokens: TokenBatches) -> TextEncoding:
        """Encode chunks and join them along the tokens; `pooled` is the first chunk's.

        A token of weight w is moved from what an empty text gives at its place: empty + (token - empty) * w.
        Raises NodeError for token batches of another kind of encoder.
        """
        chunks = tokens.get(self.key)
        if not chunks:
            raise NodeError(
                f"This text encoder takes tokens under {self.key!r}, got {sorted(tokens)}.", code="bad_tokens"
            )
        weights = [[float(entry[1]) for entry in chunk] for chunk in chunks]
        is_weighted = any(weight != 1.0 for row in weights for weight in row)
        plain = [[entry[0] for entry in chunk] for chunk in chunks]
        if is_weighted:
            form = self._form
            plain.append([form.start, form.end] + [form.padding] * (len(plain[0]) - 2))
        states = self._run(plain)
        hidden = states.hidden
        if is_weighted:
            hidden = weigh_tokens(hidden[:-1], hidden[-1], torch.tensor(weights))
        return TextEncoding(hidden.reshape(1, -1, hidden.shape[-1]), states.pooled[:1])

    @property
    def _form(self) -> ChunkForm:
        """The family's chunks with the special tokens of this encoder's vocabulary."""
        return self.form.for_vocabulary(self.config.vocabulary)

    def _run(self, rows: Sequence[Sequence[Any]]) -> TextStates:
        """Hidden states [b n d] and pooled [b k], float32 on the CPU."""
        ids, vectors = _split_vectors(rows, self._form.padding)
        device = self.host.device.torch
        is_end = ids == self._form.end
        for row, place in vectors:
            is_end[row, place] = False
        ends = torch.where(is_end.any(dim=1), is_end.int().argmax(dim=1), ids.shape[1] - 1)
        layer = self.last_layer or self.default_layer
        states = self.host.run(
            self.source,
            lambda module: module(ids.to(device), ends.to(device), last_layer=layer, vectors=vectors),
            activation_bytes=ids.numel() * self.config.width * _BYTES_PER_CELL,
            shape=(ids.shape[1],),
            num_items=ids.shape[0],
            patches=self.patches,
        )
        return TextStates(states.hidden.float().cpu(), states.pooled.float().cpu())


def weigh_tokens(hidden: torch.Tensor, empty: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Move each token's vector away from or towards the empty text's: hidden [b n d], empty [n d], weights [b n]."""
    moved = empty + (hidden - empty) * weights[..., None]
    return torch.where(weights[..., None] == 1.0, hidden, moved)


def _split_vectors(
    rows: Sequence[Sequence[Any]], placeholder: int
) -> tuple[torch.Tensor, dict[tuple[int, int], torch.Tensor]]:
    """Token ids [b n] with a placeholder where a vector stands, and the vectors by (row, place)."""
    vectors = {
        (row, place): token
        for row, tokens in enumerate(rows)
        for place, token in enumerate(tokens)
        if isinstance(token, torch.Tensor) and token.ndim
    }
    ids = [
        [placeholder if (row, place) in vectors else int(token) for place, token in enumerate(tokens)]
        for row, tokens in enumerate(rows)
    ]
    return torch.tensor(ids), vectors
