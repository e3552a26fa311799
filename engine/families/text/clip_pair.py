"""The CLIP handle of families with two text encoders: one text for both, their outputs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from engine.core.digest import digest_value
from engine.core.errors import NodeError
from engine.families.contract import TextEncoding, TokenBatches, Warn
from engine.families.text.clip_encoder import ClipTextEncoder
from engine.weights.patched import JoinedWeights
from engine.weights.patches import PatchSet, WeightPatch

__all__ = ["ClipPair"]


@dataclass(frozen=True, slots=True)
class ClipPair:
    """Two CLIP text transformers behind one CLIP socket.

    The context is the vectors of `first`, then those of `second`, token by token; `pooled` is that of `second`.
    """

    first: ClipTextEncoder
    second: ClipTextEncoder

    @property
    def family(self) -> str:
        """Folder name of the family."""
        return self.first.family

    @property
    def identity(self) -> str:
        """Equal identity, equal function."""
        return digest_value([self.first.identity, self.second.identity])

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from, or a digest of both when there are two."""
        first, second = self.first.content_digest, self.second.content_digest
        return first if first == second else digest_value([first, second])

    @property
    def last_layer(self) -> int | None:
        """Negative number of the layer whose output is used, None for the family's own choice."""
        return self.first.last_layer

    @property
    def adapter_modules(self) -> Mapping[str, str]:
        """Every name adapter files use for a module → the encoder's key, a dot and the module's name."""
        return {
            spelled: f"{encoder.key}.{module}"
            for encoder in self.encoders
            for spelled, module in encoder.adapter_modules.items()
        }

    @property
    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every weight, by the encoder's key, a dot and its name."""
        return {
            f"{encoder.key}.{name}": shape for encoder in self.encoders for name, shape in encoder.weight_shapes.items()
        }

    @property
    def weights(self) -> JoinedWeights:
        """The weights of both after their patches, by the encoder's key, a dot and their names."""
        return JoinedWeights({f"{encoder.key}.": encoder.weights for encoder in self.encoders})

    def with_last_layer(self, last_layer: int) -> ClipPair:
        """Stop both encoders at this layer, counted from the end."""
        return ClipPair(self.first.with_last_layer(last_layer), self.second.with_last_layer(last_layer))

    def with_patches(self, patches: PatchSet) -> ClipPair:
        """The same encoders with weight patches added, each given those of its own weights."""
        return ClipPair(*(encoder.with_patches(_part_of(patches, f"{encoder.key}.")) for encoder in self.encoders))

    def tokenize(self, text: str, *, word_ids: bool = False, warn: Warn | None = None) -> TokenBatches:
        """Weighted tokens in padded chunks for each encoder; what both would warn about is said once."""
        said: set[str] = set()

        def once(message: str) -> None:
            if warn is not None and message not in said:
                said.add(message)
                warn(message)

        second = self.second.tokenize(text, word_ids=word_ids, warn=once)
        return {**second, **self.first.tokenize(text, word_ids=word_ids, warn=once)}

    def encode(self, text: str, *, warn: Warn | None = None) -> TextEncoding:
        """The text as the network sees it."""
        return self.encode_tokens(self.tokenize(text, warn=warn))

    def encode_tokens(self, tokens: TokenBatches) -> TextEncoding:
        """Encode the chunks of both; where one has more, the rest is cut off.

        Raises NodeError for token batches that lack one of the encoders.
        """
        missing = [encoder.key for encoder in self.encoders if not tokens.get(encoder.key)]
        if missing:
            raise NodeError(
                f"These text encoders take tokens under {self.first.key!r} and {self.second.key!r}, "
                f"got {sorted(tokens)}.",
                code="bad_tokens",
            )
        one, two = self.first.encode_tokens(tokens), self.second.encode_tokens(tokens)
        length = min(one.context.shape[1], two.context.shape[1])
        context = torch.cat([one.context[:, :length], two.context[:, :length]], dim=-1)
        return replace(two, context=context)

    def foresee(self) -> None:
        """It will be used soon: the weights of both may come."""
        for encoder in self.encoders:
            encoder.foresee()

    @property
    def encoders(self) -> tuple[ClipTextEncoder, ClipTextEncoder]:
        """Both, in order."""
        return self.first, self.second


@dataclass(frozen=True, slots=True)
class _PartPatch:
    """A patch of several encoders as one of them sees it: by names without the encoder's key."""

    patch: WeightPatch
    prefix: str

    @property
    def identity(self) -> str:
        """Equal identity, equal change."""
        return digest_value([self.patch.identity, self.prefix])

    @property
    def names(self) -> frozenset[str]:
        """The encoder's weights it changes."""
        return frozenset(n.removeprefix(self.prefix) for n in self.patch.names if n.startswith(self.prefix))

    def apply(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """The changed weight."""
        return self.patch.apply(self.prefix + name, weight)


def _part_of(patches: PatchSet, prefix: str) -> PatchSet:
    parts = (_PartPatch(patch, prefix) for patch in patches.patches)
    return PatchSet(tuple(part for part in parts if part.names))
