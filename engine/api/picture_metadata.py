"""What a saved picture tells of how it was made, under the policy in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.api.context import Context
from engine.core.errors import AtelierError
from engine.graph.generation import Generation, describe_generation, parameters_text
from engine.imaging.metadata import PARAMETERS, metadata_entries

__all__ = ["picture_entries"]


def picture_entries(
    ctx: Context, prompt: Any, extra: Mapping[str, Any] | None, width_px: int, height_px: int
) -> tuple[tuple[str, str], ...]:
    """(key, text) pairs for a picture of this size: prompt and workflow as JSON, then the settings as plain text.

    Nothing under the policy "none", the plain text alone under "parameters". The text is left out where no sampler
    made the picture.
    """
    if ctx.metadata_policy == "none":
        return ()
    entries = metadata_entries(prompt, extra) if ctx.metadata_policy == "full" else ()
    made = describe_generation(prompt, ctx.node_id)
    if made is None:
        return entries
    return (*entries, (PARAMETERS, parameters_text(made, width_px, height_px, _model_hash(ctx, made))))


def _model_hash(ctx: Context, made: Generation) -> str | None:
    """SHA-256 of the weight file; None where it is not there any more."""
    if made.model is None:
        return None
    try:
        return ctx.models.content_digest(ctx.model_path(*made.model))
    except AtelierError:
        return None
