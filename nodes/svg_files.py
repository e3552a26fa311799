"""Saving SVG documents."""

from __future__ import annotations

from typing import Any

from engine.api import Context, ExtraPngInfo, NodeError, PromptJson, Svg, imaging, node

__all__ = ["save_svg"]


@node("SaveSVGNode", title="SaveSVGNode", category="image/save", output=True, lane="io")
def save_svg(
    svg: Svg,
    ctx: Context,
    filename_prefix: str = "svg/ComfyUI",
    prompt: PromptJson = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save each SVG document as a file that carries the prompt and the workflow in a `metadata` element."""
    entries = imaging.metadata_entries(prompt, extra_pnginfo) if ctx.metadata_enabled else ()
    for number, document in enumerate(_documents(svg)):
        ctx.check_cancelled()
        ctx.save_file(
            imaging.svg_with_metadata(document, entries).encode("utf-8"),
            prefix=filename_prefix,
            extension="svg",
            media_type="image/svg+xml",
            batch_number=number,
        )


def _documents(svg: Any) -> list[str]:
    """The texts of an SVG value. Nodes of older packs give an object whose `data` is a list of byte streams."""
    items = getattr(svg, "data", [svg] if isinstance(svg, str) else svg)
    try:
        return [item if isinstance(item, str) else item.getvalue().decode("utf-8") for item in items]
    except (AttributeError, TypeError, UnicodeDecodeError) as error:
        raise NodeError(
            f"This is no SVG value: {type(svg).__name__}.",
            code="bad_svg",
            hint="Connect the output of a node that makes SVG; its text must be UTF-8.",
            input="svg",
        ) from error
