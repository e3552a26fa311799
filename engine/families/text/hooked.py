"""A text encoder under hooks: its weights changed, and its conditioning marked so that the network's are too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.core.digest import digest_value
from engine.diffusion.hooks import WeightHooks, stages_of
from engine.families.contract import TextEncoderHandle, TextEncoding, TokenBatches, Warn
from engine.weights.patched import FinalWeights
from engine.weights.patches import PatchSet

__all__ = ["HookedTextEncoder"]


@dataclass(frozen=True, slots=True)
class HookedTextEncoder:
    """A CLIP handle around another one.

    marks: what its encodings carry, for the network. is_scheduled: a text is encoded once for each part of the
    trajectory that keyframes make, else once at the strengths of the beginning. fraction: the part it encodes for.
    """

    base: TextEncoderHandle
    hooks: WeightHooks
    marks: WeightHooks = ()
    is_scheduled: bool = False
    fraction: float = 0.0

    @property
    def family(self) -> str:
        """Folder name of the family."""
        return self.base.family

    @property
    def identity(self) -> str:
        """Equal identity, equal function."""
        return digest_value([self.changed.identity, self.is_scheduled])

    @property
    def content_digest(self) -> str:
        """SHA-256 of the file the weights came from."""
        return self.base.content_digest

    @property
    def last_layer(self) -> int | None:
        """Number of the layer whose output is used."""
        return self.base.last_layer

    @property
    def adapter_modules(self) -> Mapping[str, str]:
        """As of the encoder inside."""
        return self.base.adapter_modules

    @property
    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """As of the encoder inside."""
        return self.base.weight_shapes

    @property
    def weights(self) -> FinalWeights:
        """The weights without hooks."""
        return self.base.weights

    @property
    def changed(self) -> TextEncoderHandle:
        """The encoder inside with every hook at its strength."""
        changed: Any = self.base
        for hook in self.hooks:
            strength = hook.strength_clip * hook.factor_at(self.fraction)
            if strength != 0:
                changed = hook.change.apply(None, changed, 0.0, strength)[1]
        return changed

    @property
    def stages(self) -> list[tuple[float, float, HookedTextEncoder]]:
        """Parts of the trajectory with the encoder for each."""
        if not self.is_scheduled:
            return [(0.0, 1.0, self)]
        return [(start, end, replace(self, fraction=start)) for start, end in stages_of(self.hooks)]

    def with_last_layer(self, last_layer: int) -> HookedTextEncoder:
        """Stop at this layer, under the same hooks."""
        return replace(self, base=self.base.with_last_layer(last_layer))

    def with_patches(self, patches: PatchSet) -> HookedTextEncoder:
        """With weight patches, under the same hooks."""
        return replace(self, base=self.base.with_patches(patches))

    def tokenize(self, text: str, *, word_ids: bool = False, warn: Warn | None = None) -> TokenBatches:
        """As the encoder inside."""
        return self.base.tokenize(text, word_ids=word_ids, warn=warn)

    def encode(self, text: str, *, warn: Warn | None = None) -> TextEncoding:
        """Encode a text under the hooks."""
        return self.encode_tokens(self.tokenize(text, warn=warn))

    def encode_tokens(self, tokens: TokenBatches) -> TextEncoding:
        """Encode what `tokenize` returned under the hooks."""
        encoding = self.changed.encode_tokens(tokens)
        return replace(encoding, extra={**encoding.extra, "hooks": self.marks}) if self.marks else encoding
