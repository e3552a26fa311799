"""Saved workflows: versions, conflicts, whole files."""

from __future__ import annotations

import json

import pytest

from engine.core.errors import ContainmentError, NotFoundError
from engine.server.failures import PreconditionFailed
from engine.server.workflows import WorkflowStore
from tests.server_harness import settings_in


@pytest.fixture
def store(tmp_path):
    return WorkflowStore(settings_in(tmp_path).folders)


def document(text: str) -> dict:
    return {"nodes": [], "links": [], "note": text}


def test_a_saved_workflow_reads_back(store, tmp_path):
    facts, is_new = store.save("sub folder/mine ü", document("\ud800 ü"))
    assert is_new
    read, data = store.get("sub folder/mine ü")
    assert (read.etag, json.loads(data)) == (facts.etag, document("\ud800 ü"))
    assert (tmp_path / "user" / "default" / "workflows" / "sub folder" / "mine ü.json").exists()
    assert [item.name for item in store.list()] == ["sub folder/mine ü"]


def test_nothing_is_replaced_without_its_etag(store):
    first, _ = store.save("a", document("1"))
    for options in ({}, {"if_none_match": True}, {"if_match": "another"}):
        with pytest.raises(PreconditionFailed) as caught:
            store.save("a", document("2"), **options)
        assert caught.value.details == {"etag": first.etag}
    second, is_new = store.save("a", document("2"), if_match=first.etag)
    assert (is_new, second.version) == (False, 2)
    with pytest.raises(PreconditionFailed):  # the other tab still has the first one
        store.save("a", document("3"), if_match=first.etag)


def test_saving_to_a_workflow_that_is_gone_is_a_conflict(store):
    with pytest.raises(PreconditionFailed):
        store.save("a", document("1"), if_match="x")


def test_every_save_is_a_version(store):
    etag = store.save("a", document("1"))[0].etag
    for number in range(2, 5):
        etag = store.save("a", document(str(number)), if_match=etag)[0].etag
    assert [item.version for item in store.versions("a")] == [1, 2, 3, 4]
    assert json.loads(store.get_version("a", 2))["note"] == "2"
    with pytest.raises(NotFoundError):
        store.get_version("a", 9)


def test_what_somebody_else_wrote_into_the_file_becomes_a_version_too(store, tmp_path):
    store.save("a", document("1"))
    path = tmp_path / "user" / "default" / "workflows" / "a.json"
    path.write_text(json.dumps(document("by hand")))
    store.save("a", document("2"), if_match=store.get("a")[0].etag)
    notes = [json.loads(store.get_version("a", item.version))["note"] for item in store.versions("a")]
    assert notes == ["1", "by hand", "2"]


def test_a_deleted_workflow_can_be_read_as_a_version(store):
    store.save("a", document("1"))
    with pytest.raises(PreconditionFailed):
        store.delete("a", "wrong")
    store.delete("a", store.get("a")[0].etag)
    with pytest.raises(NotFoundError):
        store.get("a")
    assert json.loads(store.get_version("a", 1))["note"] == "1"


@pytest.mark.parametrize("name", ["", ".", "..", "a/../../b", "/a", "C:a", ".hidden", "a/.b", "x" * 300, "a\x00", " "])
def test_names_that_lead_elsewhere_are_refused(store, name):
    with pytest.raises(ContainmentError):
        store.save(name, document("x"))
