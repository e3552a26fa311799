"""What adapter files call the modules of a CLIP text encoder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["NO_NAMES", "TEXT_PREFIXES", "TextNames"]

TEXT_PREFIXES = ("lora_te", "text_encoder", "cond_stage_model.", "base_model.model.text_model.")
"""What the modules of any text encoder begin with."""


@dataclass(frozen=True, slots=True)
class TextNames:
    """Prefixes of one encoder's modules: `flat` before names with underscores, `dotted` before names as they are."""

    flat: tuple[str, ...]
    dotted: tuple[str, ...]

    def modules(self, modules: Iterable[str]) -> dict[str, str]:
        """Every spelling of every module ("text_model.encoder.layers.0.mlp.fc1") → the module's own name."""
        spelled: dict[str, str] = {}
        for module in modules:
            name = module.replace(".", "_")
            spelled.update((f"{prefix}{name}", module) for prefix in self.flat)
            spelled.update((f"{prefix}{module}", module) for prefix in self.dotted)
        return spelled


NO_NAMES = TextNames((), ())
