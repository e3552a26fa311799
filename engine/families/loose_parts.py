"""Parts of models in files of their own: networks alone, and text encoders for one family or another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from engine.core.digest import digest_value
from engine.core.errors import CheckpointError
from engine.families.autoencoder.opening import open_autoencoder
from engine.families.contract import FamilyServices, TextEncoderHandle
from engine.families.known_layouts import describe_layout
from engine.families.registry import FamilyRegistry
from engine.families.unet.diffusers_form import is_diffusers_form, published_names
from engine.memory.precision import Part
from engine.weights.checkpoint import Checkpoint
from engine.weights.pieces import joined

__all__ = ["TextFamily", "open_network", "open_part", "open_text_encoders", "put_together"]


@runtime_checkable
class TextFamily(Protocol):
    """A family whose text encoders are published in files of their own as well."""

    def open_text(self, files: Sequence[Checkpoint], services: FamilyServices) -> TextEncoderHandle | None:
        """The CLIP of these files, in whichever order they are; None when they are another family's.

        Raises CheckpointError for missing or unknown keys.
        """
        ...


def open_network(
    checkpoint: Checkpoint, registry: FamilyRegistry, services: FamilyServices, storage: torch.dtype | None = None
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


def put_together(
    files: Sequence[Checkpoint], sizes: Sequence[int], services: FamilyServices
) -> tuple[tuple[Checkpoint, ...], FamilyServices]:
    """Files as parts of a model, of which each is stored in so many of them, and services that know the parts' digests.

    Raises CheckpointError when two pieces of a part hold the same key.
    """
    left = iter(files)
    parts = [tuple(islice(left, size)) for size in sizes]
    pieces = {part[0].path: part for part in parts if len(part) > 1}

    def digest(path: Path) -> str:
        if path not in pieces:
            return services.digest(path)
        return digest_value([services.digest(piece.path) for piece in pieces[path]])

    return tuple(joined(part) for part in parts), replace(services, digest=digest)


def open_part(
    kind: Part, sizes: Sequence[int], files: Sequence[Checkpoint], *, registry: FamilyRegistry, services: FamilyServices
) -> Any:
    """The handle of a part of a model: its text encoders are stored in so many files each, another part in all of them.

    Raises CheckpointError as the functions above, and as `open_autoencoder`.
    """
    whole, services = put_together(files, sizes, services)
    if kind == "network":
        return open_network(whole[0], registry, services)
    if kind == "text_encoder":
        return open_text_encoders(whole, registry, services)
    return open_autoencoder(whole[0], services.host("vae"), lambda: services.digest(whole[0].path))
