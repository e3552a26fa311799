"""An opened adapter file, and putting it on a model and a text encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from engine.core.digest import digest_value
from engine.core.errors import CheckpointError
from engine.families.adapters.description import describe_adapter
from engine.families.adapters.text_names import TEXT_PREFIXES
from engine.families.contract import Warn
from engine.weights.adapters.keys import AdapterModules, read_modules
from engine.weights.adapters.patch import AdapterPatch, bias_change, weight_change
from engine.weights.adapters.tensors import Change, StoredModule, TensorSource
from engine.weights.patches import PatchSet

__all__ = ["AdaptableHandle", "AdapterFile", "open_adapter"]

_MAX_NAMED = 3
_MAX_ODD_MODULES = 2
"""Modules that may have another size than the model's: the first and the last convolution of an inpainting model."""


class AdaptableHandle(Protocol):
    """What a MODEL or CLIP handle offers to adapters."""

    @property
    def adapter_modules(self) -> Mapping[str, str]:
        """Every name adapter files use for a module → the module's name in the network."""
        ...

    @property
    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every weight of the network, by name."""
        ...

    def with_patches(self, patches: PatchSet) -> Any:
        """The same network with weight patches added."""
        ...


@dataclass(frozen=True, slots=True)
class _Fit:
    """What an adapter does to one network: changes by weight name, modules it used, those of another size."""

    changes: Mapping[str, Change]
    used: frozenset[str]
    odd: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """An adapter by modules as its file spells them. Holds no tensor of a file: they are read as weights are prepared.

    name: what to call it in messages.
    """

    name: str
    source: TensorSource = field(repr=False)
    content: AdapterModules = field(repr=False)

    def apply(
        self, model: Any, clip: Any, strength_model: float = 1.0, strength_clip: float = 1.0, warn: Warn | None = None
    ) -> tuple[Any, Any]:
        """The model and the text encoder with the adapter; either may be None. Strength 0 gives the same handle back.

        What belongs to neither is left out with one warning. Tensors for a text encoder are nothing to warn about when
        there is none.

        Raises CheckpointError when nothing fits, or when the adapter was made for a model of other sizes.
        """
        on_model = _fit(self.content.modules, model)
        on_clip = _fit(self.content.modules, clip)
        self._refuse_misfits(on_model, on_clip, has_model=model is not None, has_clip=clip is not None)
        if warn is not None:
            self._warn_about_rest(on_model, on_clip, warn, has_clip=clip is not None)
        return self._patched(model, on_model, strength_model), self._patched(clip, on_clip, strength_clip)

    def _patched(self, handle: Any, fit: _Fit, strength: float) -> Any:
        if handle is None or strength == 0 or not fit.changes:
            return handle
        identity = digest_value([self.source.identity, sorted(fit.changes), strength])
        return handle.with_patches(PatchSet((AdapterPatch(identity, fit.changes, strength),)))

    def _refuse_misfits(self, on_model: _Fit, on_clip: _Fit, *, has_model: bool, has_clip: bool) -> None:
        odd = on_model.odd + on_clip.odd
        is_for_text = [name.startswith(TEXT_PREFIXES) for name in self.content.modules]
        is_for_absent = (not has_clip and any(is_for_text)) or (not has_model and not all(is_for_text))
        fits_nothing = not on_model.changes and not on_clip.changes and not is_for_absent
        if not fits_nothing and len(odd) <= _MAX_ODD_MODULES:
            return
        reason = f"{len(odd)} of its modules have other sizes ({_some(odd)})" if odd else "none of its modules is there"
        raise CheckpointError(
            f"{self.name} does not fit this model: {reason}. It looks like {describe_adapter(self.content.modules)}.",
            code="adapter_mismatch",
            hint="Use a checkpoint of the family the adapter was trained on.",
            details={"modules": list(odd)[:50]},
        )

    def _warn_about_rest(self, on_model: _Fit, on_clip: _Fit, warn: Warn, *, has_clip: bool) -> None:
        used = on_model.used | on_clip.used
        left = [name for name in self.content.modules if name not in used]
        left += on_model.odd + on_clip.odd
        if not has_clip:
            left = [name for name in left if not name.startswith(TEXT_PREFIXES)]
        left += self.content.unknown
        if left:
            warn(f"{self.name}: {len(left)} part(s) were left out because nothing here uses them: {_some(left)}.")


def open_adapter(name: str, source: TensorSource) -> AdapterFile:
    """Read what an adapter consists of, from keys and shapes alone.

    Raises CheckpointError when no key is of a known algorithm.
    """
    content = read_modules(source)
    if not content.modules:
        raise CheckpointError(
            f"{name} holds no adapter: none of its {len(content.unknown)} tensors is of a known algorithm.",
            code="unknown_adapter",
            hint="LoRA, LoHa, LoKr, OFT, GLoRA, DoRA and whole differences can be read.",
            details={"keys": list(content.unknown)[:50]},
        )
    return AdapterFile(name, source, content)


def _fit(modules: Mapping[str, StoredModule], handle: AdaptableHandle | None) -> _Fit:
    """Match modules by name, and their changes by shape."""
    if handle is None:
        return _Fit({}, frozenset(), ())
    names, shapes = handle.adapter_modules, handle.weight_shapes
    changes: dict[str, Change] = {}
    used: list[str] = []
    odd: list[str] = []
    for spelled, tensors in modules.items():
        module = names.get(spelled)
        if module is None:
            continue
        wanted = ((f"{module}.weight", weight_change(tensors)), (f"{module}.bias", bias_change(tensors)))
        found = {name: change for name, change in wanted if change is not None and name in shapes}
        if any(not change.fits(shapes[name]) for name, change in found.items()):
            odd.append(spelled)
        elif found:
            changes.update(found)
        else:
            continue
        used.append(spelled)
    return _Fit(changes, frozenset(used), tuple(odd))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more
