"""An output node: it makes a file and shows a line of text."""

from __future__ import annotations

from typing import Annotated

from engine.api import Context, NodeResult, Text, node

__all__ = ["save_text"]

Words = Annotated[str, Text(multiline=True)]


@node("ExampleSaveText", title="Save Text (example)", category="example", output=True, lane="io")
def save_text(ctx: Context, text: Words, filename_prefix: str = "text") -> NodeResult:
    """Save a text file to the output folder and show its first line."""
    if not text.strip():
        ctx.warn("The text is empty.")
    ctx.save_file(
        text.encode("utf-8"), prefix=filename_prefix, extension="txt", media_type="text/plain", ui_key="files"
    )
    return NodeResult(ui={"text": text.splitlines()[:1]})
