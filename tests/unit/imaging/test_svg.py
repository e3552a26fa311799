"""Metadata inside SVG documents."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from engine.core.errors import NodeError
from engine.imaging import metadata_entries, svg_with_metadata

ENTRIES = metadata_entries({"1": {"class_type": "X"}}, {"workflow": {"note": "a ]]> b <é>"}})
XMLNS = "http://www.w3.org/2000/svg"

DOCUMENTS = [
    f'<svg xmlns="{XMLNS}"><rect width="4"/></svg>',
    f'<?xml version="1.0"?>\n<!-- <svg> > --><!DOCTYPE svg [<!ENTITY a "b>c">]>\n<svg xmlns="{XMLNS}" a="x > y"></svg>',
    f'\ufeff<svg\n xmlns="{XMLNS}"\n data-a=\'">"\' />',
    f'<s:svg xmlns:s="{XMLNS}"><s:rect/></s:svg>',
    "<svg/>",
]


def record_of(document: str) -> dict[str, object]:
    (element,) = [item for item in ElementTree.fromstring(document) if item.tag.endswith("metadata")]
    return json.loads(element.text or "")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_metadata_element_comes_first_and_the_rest_stays(document: str) -> None:
    made = svg_with_metadata(document, ENTRIES).removeprefix("\ufeff")
    assert record_of(made) == {"prompt": {"1": {"class_type": "X"}}, "workflow": {"note": "a ]]> b <é>"}}
    before, after = ElementTree.fromstring(document.removeprefix("\ufeff")), ElementTree.fromstring(made)
    assert after[0].tag.endswith("metadata")
    after.remove(after[0])
    assert ElementTree.tostring(before) == ElementTree.tostring(after)


def test_without_entries_a_document_stays_as_it_is() -> None:
    assert [svg_with_metadata(document, ()) for document in DOCUMENTS] == DOCUMENTS


@pytest.mark.parametrize(
    "document", ["", "   ", "<html><svg/></html>", "<svgx/>", "<!-- <svg/>", "<svg", "<?xml", "plain"]
)
def test_what_is_no_svg_document_is_refused(document: str) -> None:
    with pytest.raises(NodeError) as caught:
        svg_with_metadata(document, ())
    assert (caught.value.code, caught.value.input) == ("bad_svg", "svg")
