"""SVG documents made to harm whoever looks for their beginning, or to leave the metadata element."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from engine.core.errors import NodeError
from engine.imaging import metadata_entries, svg_with_metadata

MANY = 200_000


@pytest.mark.parametrize(
    "document",
    [
        " " * 10 * MANY,
        "<!-- -->" * MANY + "<!--",
        "<? ?>" * MANY,
        "<!x>" * MANY,
        "<!DOCTYPE [" + "[" * MANY,
        "<svg " + "a='b' " * MANY,
        "<svg " + "'\"" * MANY,
        "<svg " + "a" * 10 * MANY,
        "<" + "a:" * MANY + "svg",
    ],
)
def test_a_document_that_never_begins_is_refused_in_time_that_grows_with_its_length(document: str) -> None:
    with pytest.raises(NodeError) as caught:
        svg_with_metadata(document, ())
    assert caught.value.code == "bad_svg"
    assert len(caught.value.message) < 200


def test_texts_of_the_prompt_cannot_leave_the_metadata_element() -> None:
    prompt = {"1": {"inputs": {"text": "]]></metadata><script>alert(1)</script>"}}}
    made = svg_with_metadata("<svg/>", metadata_entries(prompt, None))
    root = ElementTree.fromstring(made)
    assert [element.tag for element in root.iter()] == ["svg", "metadata"]
    assert json.loads(root[0].text or "") == {"prompt": prompt}
