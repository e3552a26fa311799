"""What a workflow says of the weight files it names: where they can be had, and under which terms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.graph.complaint import Complaint, shown

__all__ = ["ModelFacts", "model_facts", "with_model_facts"]

_MISSING = "value_not_in_list"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One entry of `models`, in the properties of a node or of a whole graph; "" for what it does not say."""

    url: str = ""
    license: str = ""

    @property
    def sentence(self) -> str:
        """What to tell someone who lacks the file; "" when nothing is known."""
        where = f"The workflow says where it is: {self.url}" if self.url else ""
        terms = f"Its licence: {self.license}" if self.license else ""
        return " ".join(f"{part}." for part in (where, terms) if part)

    def to_json(self) -> dict[str, str]:
        """What is known."""
        return {key: value for key, value in (("url", self.url), ("license", self.license)) if value}


def model_facts(workflow: Any) -> dict[str, ModelFacts]:
    """The last part of each file's name → what a document of an editor states; all else is passed over."""
    found: dict[str, ModelFacts] = {}
    for entry in _entries(workflow):
        name, url, terms = (entry.get(key) for key in ("name", "url", "license"))
        if not isinstance(name, str):
            continue
        before = found.get(_last_part(name), ModelFacts())
        found[_last_part(name)] = ModelFacts(
            shown(url) if isinstance(url, str) and url.startswith("https://") else before.url,
            shown(terms) if isinstance(terms, str) else before.license,
        )
    return found


def with_model_facts(complaints: Sequence[Complaint], workflow: Any) -> tuple[Complaint, ...]:
    """The complaints, those about missing files with what the workflow says of these files.

    workflow: a document of an editor, or anything else for none.
    """
    if not any(complaint.code == _MISSING for complaint in complaints):
        return tuple(complaints)
    facts = model_facts(workflow)
    return tuple(_told(complaint, facts) for complaint in complaints)


def _told(complaint: Complaint, facts: Mapping[str, ModelFacts]) -> Complaint:
    if complaint.code != _MISSING or not isinstance(complaint.got, str):
        return complaint
    known = facts.get(_last_part(complaint.got), ModelFacts())
    if not known.sentence:
        return complaint
    remedy = " ".join(part for part in (complaint.remedy, known.sentence) if part)
    return replace(complaint, remedy=remedy, extra={**complaint.extra, "model": known.to_json()})


def _entries(workflow: Any) -> Iterator[Mapping[str, Any]]:
    """Of the whole, of its subgraphs, and of all their nodes."""
    if not isinstance(workflow, Mapping):
        return
    definitions = workflow.get("definitions")
    inner = definitions.get("subgraphs") if isinstance(definitions, Mapping) else None
    for graph in (workflow, *_mappings(inner)):
        yield from _mappings(graph.get("models"))
        for node in _mappings(graph.get("nodes")):
            properties = node.get("properties")
            if isinstance(properties, Mapping):
                yield from _mappings(properties.get("models"))


def _mappings(value: Any) -> Iterable[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _last_part(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]
