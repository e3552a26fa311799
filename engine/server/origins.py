"""Where files come from: the workflow, weight files and prompt words of the job that made them.

They are kept so that files can be asked for by them, and outlive the job, as its files do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.graph.schema import Catalog, FileChoices, InputSpec
from engine.server.change import Change
from engine.server.tables import ASSETS, JOBS, ORIGIN_MODELS, ORIGINS

__all__ = ["Origin", "OriginNames", "Wanted", "drop_unused", "matching", "note_origin", "origin_of", "read_names"]

_WORKING = frozenset({"input", "output", "temp"})
_MAX_NAME = 300
_MAX_WORDS = 20_000
_MAX_NAMES = 500
_MAX_TERMS = 8


@dataclass(frozen=True, slots=True)
class Origin:
    """`words` are the prompts of the job, folded for comparing regardless of case."""

    workflow: str
    models: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What assets are looked for; None for anything. Every word of `text` is in the prompts or the file's name."""

    workflow: str | None = None
    model: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class OriginNames:
    """The workflows and weight files that files were made with, in order of their names."""

    workflows: tuple[str, ...]
    models: tuple[str, ...]


def origin_of(prompt: Mapping[str, Any], extra: Mapping[str, Any], catalog: Catalog) -> Origin:
    """Read out of a job's documents. Prompts are texts of several lines, weights are files of a model folder."""
    models: dict[str, None] = {}
    words = []
    for spec, value in _written(prompt, catalog):
        if isinstance(spec.choices, FileChoices):
            if spec.choices.folder not in _WORKING and value not in spec.choices.also:
                models[_plain(value)[:_MAX_NAME]] = None
        elif spec.type == "STRING" and spec.options.get("multiline"):
            words.append(_plain(value).casefold())
    name = extra.get("workflow_name")
    workflow = _plain(name)[:_MAX_NAME] if isinstance(name, str) else ""
    return Origin(workflow, tuple(sorted(models)), "\n".join(words)[:_MAX_WORDS])


def _written(prompt: Mapping[str, Any], catalog: Catalog) -> Iterator[tuple[InputSpec, str]]:
    """Every text a known node of the prompt was given, with how its input is declared."""
    for node in prompt.values():
        spec = catalog.get(str(node.get("class_type")))
        if spec is None:
            continue
        for name, value in node.get("inputs", {}).items():
            declared = spec.input_named(name)
            if declared is not None and isinstance(value, str) and value:
                yield declared, value


def _plain(text: str) -> str:
    """Text that every database takes."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")


def note_origin(change: Change, job: str, catalog: Catalog) -> None:
    """Remember where the files of a job come from; once for each job."""
    run = change.connection.execute
    if run(sa.select(ORIGINS.c.job).where(ORIGINS.c.job == job)).first() is not None:
        return
    row = run(sa.select(JOBS.c.prompt, JOBS.c.extra).where(JOBS.c.id == job)).first()
    if row is None:
        return
    origin = origin_of(json.loads(row.prompt), json.loads(row.extra), catalog)
    run(sa.insert(ORIGINS).values(job=job, workflow=origin.workflow, words=origin.words))
    if origin.models:
        run(sa.insert(ORIGIN_MODELS), [{"job": job, "model": model} for model in origin.models])


def matching(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    """Conditions on assets."""
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.workflow is not None:
        jobs = sa.select(ORIGINS.c.job).where(ORIGINS.c.workflow == wanted.workflow)
        conditions.append(ASSETS.c.job.in_(jobs))
    if wanted.model is not None:
        conditions.append(ASSETS.c.job.in_(sa.select(ORIGIN_MODELS.c.job).where(ORIGIN_MODELS.c.model == wanted.model)))
    for word in (wanted.text or "").split()[:_MAX_TERMS]:
        folded = ORIGINS.c.words.contains(word.casefold(), autoescape=True)
        jobs = sa.select(ORIGINS.c.job).where(folded)
        conditions.append(sa.or_(ASSETS.c.job.in_(jobs), ASSETS.c.filename.icontains(word, autoescape=True)))
    return conditions


def read_names(connection: sa.Connection) -> OriginNames:
    """What can be asked for."""

    def names(column: sa.Column[str]) -> tuple[str, ...]:
        query = sa.select(column).where(column != "").distinct().order_by(column).limit(_MAX_NAMES)
        return tuple(connection.execute(query).scalars())

    return OriginNames(names(ORIGINS.c.workflow), names(ORIGIN_MODELS.c.model))


def drop_unused(change: Change) -> None:
    """Forget the origins of jobs that have no file any more."""
    for table in (ORIGIN_MODELS, ORIGINS):
        change.connection.execute(sa.delete(table).where(table.c.job.not_in(sa.select(ASSETS.c.job))))
