"""From a document to a queued job: parse, compile, validate, ask the nodes' own validators, store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.core.digest import digest_value
from engine.core.errors import GraphError
from engine.core.ids import NodeId, new_job_id
from engine.graph.compile import compile_workflow
from engine.graph.complaint import Complaint
from engine.graph.graph import Graph
from engine.graph.model_facts import with_model_facts
from engine.graph.prompt import parse_prompt, to_prompt
from engine.graph.topology import ancestors
from engine.graph.validate import Validation, validate
from engine.graph.workflow import Workflow, is_workflow
from engine.server.catalog import CatalogHolder
from engine.server.conductor import Conductor
from engine.server.failures import GraphRefused, NotReady
from engine.server.jobs import JobStore, NewJob
from engine.server.records import JobRequest, Submission
from engine.server.workers import WorkerPool

__all__ = ["CheckedGraph", "Submitter"]

_INLINE_NODES = 150
_MAX_NODES = 50_000
_CATALOG_WAIT_S = 60.0
_MAX_ID_LENGTH = 200
_MAX_NAMED = 20


@dataclass(frozen=True, slots=True)
class CheckedGraph:
    """A document after all checks. `prompt` is the API JSON that would run, its constants converted.

    `targets` are the output nodes that can run; `extra` is what the document itself adds to the job (a workflow
    becomes extra_pnginfo.workflow, so that files it makes carry it).
    """

    graph: Graph
    prompt: Mapping[str, Any]
    targets: tuple[NodeId, ...]
    complaints: tuple[Complaint, ...]
    dependent_outputs: Mapping[NodeId, tuple[NodeId, ...]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


class Submitter:
    """Checks documents and queues them."""

    def __init__(self, store: JobStore, catalog: CatalogHolder, pool: WorkerPool, conductor: Conductor) -> None:
        self._store = store
        self._conductor = conductor
        self._catalog = catalog
        self._pool = pool

    async def submit(self, request: JobRequest) -> Submission:
        """See `Engine.submit`."""
        _check_names(request)
        body = _body_digest(request) if request.job_id or request.idempotency_key else ""
        earlier = await self._store.find_repeat(request.job_id, request.idempotency_key, body)
        if earlier is not None:
            return Submission(earlier, created=False)
        counter, number = self._take_number(request)
        checked = await self.check(request.document, request.targets, _workflow(request.extra))
        if not checked.targets:
            raise GraphRefused(checked.complaints, checked.dependent_outputs)
        job, created = await self._conductor.submit(
            NewJob(
                id=request.job_id or new_job_id(),
                counter=counter,
                number=number,
                priority=request.priority,
                client_id=request.client_id,
                idempotency_key=request.idempotency_key,
                body_digest=body,
                targets=checked.targets,
                prompt=checked.prompt,
                extra=_merged_extra(request.extra, checked.extra),
                alone=request.alone,
            )
        )
        return Submission(job, created, checked.complaints, checked.dependent_outputs)

    def _take_number(self, request: JobRequest) -> tuple[int, float]:
        if request.number is not None:
            return 0, request.number
        counter = self._store.take_number()
        return counter, float(-counter if request.front else counter)

    async def check(
        self, document: Mapping[str, Any], targets: Iterable[NodeId] | None = None, workflow: Any = None
    ) -> CheckedGraph:
        """See `Engine.validate`. workflow: what a prompt was made from, which says where missing files can be had."""
        if not self._catalog.is_known:
            await self._wait_for_catalog()
        if _num_nodes(document) > _MAX_NODES:
            raise GraphError(
                f"The graph has {_num_nodes(document)} nodes; at most {_MAX_NODES} are accepted.",
                code="too_many_nodes",
                hint="Split it into several jobs.",
            )
        wanted = None if targets is None else tuple(targets)
        if _num_nodes(document) <= _INLINE_NODES:
            validation, extra = self._check_data(document, wanted)
        else:
            validation, extra = await asyncio.to_thread(self._check_data, document, wanted)
        prompt = await _off_loop(to_prompt, validation.graph)
        if validation.needs_code_check and validation.targets:
            validation = await self._check_code(validation, prompt)
        return CheckedGraph(
            graph=validation.graph,
            prompt=prompt,
            targets=validation.targets,
            complaints=with_model_facts(validation.complaints, _workflow(extra) or workflow),
            dependent_outputs=validation.dependent_outputs,
            extra=extra,
        )

    async def _wait_for_catalog(self) -> None:
        if self._pool.have_failed or not await self._catalog.wait(_CATALOG_WAIT_S):
            raise NotReady(
                "No worker has said yet which nodes there are.",
                hint="Look at the log for why the worker does not start, or try again in a moment.",
            )

    def _check_data(
        self, document: Mapping[str, Any], targets: tuple[NodeId, ...] | None
    ) -> tuple[Validation, dict[str, Any]]:
        extra: dict[str, Any] = {}
        lister = self._catalog.lister.remembering()
        if is_workflow(document):
            workflow = Workflow.load(document)
            graph = compile_workflow(workflow, self._catalog.current, list_files=lister)
            extra = {"extra_pnginfo": {"workflow": document}}
        else:
            graph = parse_prompt(document)
        validation = validate(
            graph, self._catalog.current, list_files=lister, file_exists=lister.exists, targets=targets
        )
        return validation, extra

    async def _check_code(self, validation: Validation, prompt: Mapping[str, Any]) -> Validation:
        found = await self._pool.check_prompt(dict(prompt), list(validation.needs_code_check))
        if found is None:
            raise NotReady(
                "No worker has answered whether the nodes accept their inputs.",
                hint="Try again in a moment. If it stays so, look at the log for why the worker does not start.",
                details={"nodes": list(validation.needs_code_check[:_MAX_NAMED])},
            )
        if not found:
            return validation
        complaints = [_complaint(validation.graph, record) for record in found]
        dependents = dict(validation.dependent_outputs)
        stopped: set[NodeId] = set()
        faulty = {complaint.node for complaint in complaints if complaint.node is not None}
        for target in validation.targets:
            hit = faulty & ancestors(validation.graph, [target])
            if hit:
                stopped.add(target)
            for node in hit:
                dependents[node] = (*dependents.get(node, ()), target)
        return Validation(
            graph=validation.graph,
            complaints=(*validation.complaints, *complaints),
            targets=tuple(target for target in validation.targets if target not in stopped),
            reached=validation.reached,
            needs_code_check=validation.needs_code_check,
            dependent_outputs=dependents,
        )


async def _off_loop(function: Any, graph: Graph) -> Any:
    return function(graph) if len(graph) <= _INLINE_NODES else await asyncio.to_thread(function, graph)


def _workflow(extra: Mapping[str, Any]) -> Any:
    """The document of an editor that goes into the files of a job, or None."""
    into_files = extra.get("extra_pnginfo")
    return into_files.get("workflow") if isinstance(into_files, Mapping) else None


def _num_nodes(document: Mapping[str, Any]) -> int:
    nodes = document.get("nodes")
    return len(nodes) if isinstance(nodes, list) else len(document)


def _complaint(graph: Graph, record: Mapping[str, Any]) -> Complaint:
    node = graph.nodes.get(NodeId(str(record.get("node"))))
    code = str(record.get("code", "custom_validation_failed"))
    extra = record.get("extra")
    return Complaint(
        code=code,
        message=str(record.get("message", "")),
        node=node.id if node else None,
        node_type=node.type if node else "",
        title=node.title if node else "",
        input=record.get("input"),
        details=str(record.get("details", "")),
        extra=extra if isinstance(extra, Mapping) else {},
        comfy_type=code,
    )


def _body_digest(request: JobRequest) -> str:
    return digest_value(
        [
            request.document, request.targets, request.extra, request.client_id, request.number, request.front,
            request.priority, request.alone,
        ]
    )  # fmt: skip


def _check_names(request: JobRequest) -> None:
    """Ids become keys of rows and parts of URLs: bounded, printable. Raises GraphError."""
    for name, value in (("job id", request.job_id), ("idempotency key", request.idempotency_key)):
        if value is None:
            continue
        if not value or len(value) > _MAX_ID_LENGTH or not value.isprintable() or "/" in value:
            raise GraphError(
                f"The {name} must have 1 to {_MAX_ID_LENGTH} printable characters and no slash.",
                code="bad_id",
                hint="Use a UUID.",
            )


def _merged_extra(given: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    extra = dict(given)
    for key, value in added.items():
        current = extra.get(key)
        extra[key] = {**value, **current} if isinstance(current, Mapping) else value
    return extra
