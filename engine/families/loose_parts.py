"""Parts of models in files of their own: networks alone, and text encoders for one family or another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from engine.core.digest import digest_value
from engine.core.errors import CheckpointError
from engine.families.contract import FamilyServices, TextEncoderHandle
from engine.families.known_layouts import describe_layout
from engine.families.registry import FamilyRegistry
from engine.families.unet.diffusers_form import is_diffusers_form, published_names
from engine.weights.checkpoint import Checkpoint
from engine.weights.pieces import joined

__all__ = ["TextFamily", "open_network", "open_pieces", "open_text_encoders"]


@runtime_checkable
class TextFamily(Protocol):
    """A family whose text encoders are published in files of their own as well."""

    def open_text(self, files: Sequence[Checkpoint], services: FamilyServices) -> TextEncoderHandle | None:
        """The CLIP of these files, in whichever order they are; None when they are another family's.

        Raises CheckpointError for missing or unknown keys.
        """
        ...


def open_network(
    checkpoint: Checkpoint, registry: FamilyRegistry, services: FamilyServices, storage: torch.dtype | None
) -> Any:
    """The MODEL of a file that holds a network, alone or beside other parts, in published or diffusers form.

    storage: what the weights of matrices and kernels are held in, None for what the settings say.
    Raises CheckpointError for files of no family, or without a network.
    """
    if is_diffusers_form(checkpoint.shapes):
        checkpoint = checkpoint.renamed(published_names(checkpoint.shapes))
    match = registry.detect(checkpoint.path.name, checkpoint.shapes)
    model: Any = registry.family(match).open(checkpoint, match, services).model
    if model is None:
        raise CheckpointError(f"{checkpoint.path.name} holds no diffusion network.", code="no_network")
    if storage is None:
        return model
    identity = digest_value([model.source.identity, str(storage)])
    return replace(model, source=replace(model.source, identity=identity, storage=storage))


def open_pieces(files: Sequence[Checkpoint], registry: FamilyRegistry, services: FamilyServices) -> Any:
    """The MODEL of a network that is stored in one file or several. Raises CheckpointError as `open_network`."""

    def digest(_: Path) -> str:
        return digest_value([services.digest(file.path) for file in files])

    known = services if len(files) == 1 else replace(services, digest=digest)
    return open_network(joined(files), registry, known, None)


def open_text_encoders(
    files: Sequence[Checkpoint], registry: FamilyRegistry, services: FamilyServices
) -> TextEncoderHandle:
    """The CLIP of one file or more. Raises CheckpointError naming what they are when no family has such encoders."""
    for name in sorted(registry.families):
        family = registry.families[name]
        if isinstance(family, TextFamily):
            handle = family.open_text(files, services)
            if handle is not None:
                return handle
    found = " and ".join(f"{file.path.name} looks like {describe_layout(file.shapes)}" for file in files)
    raise CheckpointError(
        f"No family takes its text from these files: {found}.",
        code="unknown_text_encoder",
        hint="One file: CLIP L, H or bigG. Two files: CLIP L and bigG.",
    )
