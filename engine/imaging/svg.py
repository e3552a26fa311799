"""The prompt and workflow inside SVG documents."""

from __future__ import annotations

import json

import regex

from engine.core.errors import NodeError

__all__ = ["svg_with_metadata"]

_ROOT = regex.compile(r"""<((?:[\w.-]++:)?)svg(?=[\s/>])(?:"[^"]*+"|'[^']*+'|[^"'>]++)*+>""")
_SPACE = regex.compile(r"[\s\ufeff]*+")
_SKIPPED = (("<?", "?>"), ("<!--", "-->"), ("<!", ">"))
"""What may stand before the root element: declarations, comments, a document type without inner declarations."""


def svg_with_metadata(document: str, entries: tuple[tuple[str, str], ...]) -> str:
    """The document with a first `metadata` element that holds {key: value} of the entries as JSON in a CDATA section.

    Args:
        document: the XML text of an SVG document; text before and after the root element stays.
        entries: (key, JSON text) pairs as `metadata_entries` gives them; none: the document is only checked.

    Raises NodeError (bad_svg) when the text is no SVG document.
    """
    start = _root_start(document)
    root = _ROOT.match(document, start)
    if root is None:
        raise NodeError(
            f"This is no SVG document: {document[start : start + 60]!r}.",
            code="bad_svg",
            hint="Connect the output of a node that makes SVG.",
            input="svg",
        )
    if not entries:
        return document
    # A CDATA section ends at the first ]]>, so inside of texts the bracket is written as an escape.
    record = "{" + ", ".join(f"{json.dumps(key)}: {text}" for key, text in entries) + "}"
    record = record.replace("]]>", "]]\\u003e")
    prefix = root[1]
    metadata = f"<{prefix}metadata><![CDATA[{record}]]></{prefix}metadata>"
    if root[0].endswith("/>"):
        opening = f"{root[0][:-2].rstrip()}>{metadata}</{prefix}svg>"
    else:
        opening = root[0] + metadata
    return document[:start] + opening + document[root.end() :]


def _root_start(document: str) -> int:
    """Where the root element begins, or what stands in its place."""
    position = 0
    while True:
        position = _SPACE.match(document, position).end()
        for opening, closing in _SKIPPED:
            if document.startswith(opening, position):
                end = _doctype_end(document, position) if opening == "<!" else document.find(closing, position)
                break
        else:
            return position
        if end < 0:
            return position
        position = end + len(closing)


def _doctype_end(document: str, position: int) -> int:
    """Index of the > that ends a document type, inner declarations in brackets included; -1 when none does."""
    end = document.find(">", position)
    bracket = document.find("[", position, max(end, position))
    if bracket >= 0:
        inner_end = document.find("]", bracket)
        return -1 if inner_end < 0 else document.find(">", inner_end)
    return end
