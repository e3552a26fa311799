"""Saving SVG documents."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from node_context import KeepingContext

from engine.core.errors import Cancelled, NodeError
from nodes.svg_files import save_svg

PROMPT = {"1": {"class_type": "SaveSVGNode", "inputs": {}}}


def test_each_document_becomes_a_file_with_its_metadata(ctx: KeepingContext) -> None:
    save_svg(["<svg><g/></svg>", "<svg/>"], ctx, "svg/logo", PROMPT, {"workflow": {"nodes": []}})
    assert [(f.prefix, f.extension, f.media_type, f.ui_key, f.batch_number) for f in ctx.files] == [
        ("svg/logo", "svg", "image/svg+xml", "images", 0),
        ("svg/logo", "svg", "image/svg+xml", "images", 1),
    ]
    assert ctx.files[0].data.decode() == (
        '<svg><metadata><![CDATA[{"prompt": {"1": {"class_type": "SaveSVGNode", "inputs": {}}}, '
        '"workflow": {"nodes": []}}]]></metadata><g/></svg>'
    )


def test_without_metadata_the_document_is_saved_as_it_is(ctx: KeepingContext) -> None:
    ctx.metadata_policy = "none"
    save_svg(["<svg>é</svg>"], ctx, prompt=PROMPT)
    assert ctx.files[0].data == "<svg>é</svg>".encode()


def test_the_byte_streams_of_older_packs_are_taken(ctx: KeepingContext) -> None:
    save_svg(SimpleNamespace(data=[io.BytesIO(b"<svg>1</svg>"), io.BytesIO(b"<svg>2</svg>")]), ctx)
    assert [file.data for file in ctx.files] == [b"<svg>1</svg>", b"<svg>2</svg>"]


def test_a_single_text_is_one_document(ctx: KeepingContext) -> None:
    save_svg("<svg/>", ctx)
    assert [file.data for file in ctx.files] == [b"<svg/>"]


@pytest.mark.parametrize("value", [3, [7], SimpleNamespace(data=[io.BytesIO(b"<svg>\xff</svg>")]), ["<html/>"]])
def test_other_values_are_refused(ctx: KeepingContext, value: object) -> None:
    with pytest.raises(NodeError) as caught:
        save_svg(value, ctx)
    assert (caught.value.code, caught.value.input) == ("bad_svg", "svg")


def test_saving_stops_when_the_job_is_cancelled(ctx: KeepingContext) -> None:
    ctx.is_cancelled = True
    with pytest.raises(Cancelled):
        save_svg(["<svg/>"], ctx)
