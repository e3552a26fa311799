"""/prompt, /queue, /history, /interrupt, /free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from engine.compat.comfyui.server.pack_routes import changed_by_packs
from engine.compat.comfyui.server.queue_shapes import history_entry, is_visible, plain_number, queue_item
from engine.compat.comfyui.server.refusals import node_errors, prompt_error
from engine.compat.comfyui.server.requests import SERVICES, Handler, empty, query_int, read_json, refusal, say
from engine.core.errors import ConflictError, GraphError, NotFoundError
from engine.core.ids import ClientId, JobId, NodeId
from engine.server.failures import GraphRefused
from engine.server.records import ACTIVE_STATES, QUEUED, TERMINAL_STATES, JobQuery, JobRecord, JobRequest
from engine.server.services import Services

__all__ = ["ROUTES"]

_SECRETS = ("auth_token_comfy_org", "api_key_comfy_org")
_HISTORY_PAGE = 200


async def get_prompt(request: web.Request) -> web.Response:
    """How many jobs wait and run."""
    return say({"exec_info": {"queue_remaining": request.app[SERVICES].engine.counts().remaining}})


async def post_prompt(request: web.Request) -> web.Response:
    """Queue a prompt; the 200 is sent once it is on disk."""
    engine = request.app[SERVICES].engine
    body = await read_json(request)
    if not isinstance(body, dict):
        raise GraphError("The body must be a JSON object.", code="bad_request")
    body = await changed_by_packs(request.app[SERVICES], body)
    if body.get("prompt") is None:
        engine.take_number()
        text = "No prompt provided"
        error = {"type": "no_prompt", "message": text, "details": text, "extra_info": {}}
        return say({"error": error, "node_errors": {}}, 400)
    try:
        submission = await engine.submit(_job_request(body))
    except GraphRefused as refused:
        return say(prompt_error(refused.complaints, refused.dependent_outputs, _targets(body) or ()), 400)
    except ConflictError as error:
        return refusal(409, "duplicate_prompt_id", error.message, hint=error.hint)
    except GraphError as error:
        kind = "invalid_prompt_id" if error.code == "bad_id" else "invalid_prompt"
        return refusal(400, kind, error.message, hint=error.hint)
    job = submission.job
    number = job.number if body.get("number") is not None else plain_number(job.number)
    errors = node_errors(submission.complaints, submission.dependent_outputs)
    return say({"prompt_id": job.id, "number": number, "node_errors": errors})


def _job_request(body: Mapping[str, Any]) -> JobRequest:
    extra = body.get("extra_data")
    if extra is None:
        extra = {}
    if not isinstance(extra, dict):
        raise GraphError("extra_data must be an object.", code="bad_request")
    if not isinstance(body["prompt"], dict):
        raise GraphError("prompt must be an object of nodes by id.", code="bad_prompt")
    client = body.get("client_id", extra.get("client_id"))
    kept = {key: value for key, value in extra.items() if key not in (*_SECRETS, "client_id")}
    return JobRequest(
        document=body["prompt"],
        targets=_targets(body),
        extra=kept,
        client_id=None if client is None else ClientId(str(client)[:200]),
        job_id=JobId(str(body["prompt_id"])) if body.get("prompt_id") is not None else None,
        number=_number(body.get("number")),
        front=bool(body.get("front")),
    )


def _targets(body: Mapping[str, Any]) -> tuple[NodeId, ...] | None:
    targets = body.get("partial_execution_targets")
    if targets is None:
        return None
    if not isinstance(targets, list):
        raise GraphError("partial_execution_targets must be a list of node ids.", code="bad_request")
    return tuple(NodeId(str(target)) for target in targets)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not abs(number) <= 1e15:
        raise GraphError(f"number is {str(value)[:50]!r}, not a finite number.", code="bad_request")
    return number


# ------------------------------------------------------------------ queue


async def get_queue(request: web.Request) -> web.Response:
    """Running and waiting jobs."""
    engine = request.app[SERVICES].engine
    running = await engine.list(
        JobQuery(states=tuple(ACTIVE_STATES), limit=None, newest_first=False, with_documents=True)
    )
    pending = await engine.list(JobQuery(states=(QUEUED,), limit=None, in_queue_order=True, with_documents=True))
    return say(
        {
            "queue_running": [queue_item(job) for job in running.jobs],
            "queue_pending": [queue_item(job) for job in pending.jobs],
        }
    )


async def post_queue(request: web.Request) -> web.Response:
    """Take waiting jobs out of the queue."""
    body = _object(await read_json(request))
    engine = request.app[SERVICES].engine
    if body.get("clear"):
        await engine.cancel_queued()
    if body.get("delete"):
        await engine.cancel_queued(_ids(body["delete"]))
    return empty()


async def post_interrupt(request: web.Request) -> web.Response:
    """Stop what runs: everything, or one job if it is running."""
    engine = request.app[SERVICES].engine
    body = await _lenient_json(request)
    wanted = body.get("prompt_id") if isinstance(body, dict) else None
    if wanted is None:
        await engine.cancel_running()
        return empty()
    try:
        job = await engine.services.jobs.get(JobId(str(wanted)), with_documents=False)
    except NotFoundError:
        return empty()
    if job.state in ACTIVE_STATES:
        await engine.cancel(job.id)
    return empty()


async def _lenient_json(request: web.Request) -> Any:
    """The body, or {} when it is no JSON: clients post anything here and mean "stop"."""
    try:
        return await read_json(request, default={})
    except GraphError:
        return {}


async def post_free(request: web.Request) -> web.Response:
    """Give memory back once running jobs are done."""
    body = _object(await read_json(request, default={}))
    drop = bool(body.get("free_memory"))
    unload = bool(body.get("unload_models")) or drop
    if unload or drop:
        await request.app[SERVICES].engine.free(unload_models=unload, drop_cache=drop)
    return empty()


# ------------------------------------------------------------------ history


async def get_history(request: web.Request) -> web.Response:
    """Ended jobs, oldest first."""
    limit, offset = query_int(request, "max_items"), query_int(request, "offset")
    jobs = await _ended_jobs(request.app[SERVICES], limit, offset)
    return say({job.id: history_entry(job) for job in jobs})


async def _ended_jobs(services: Services, limit: int | None, offset: int | None) -> list[JobRecord]:
    """The newest `limit`, or the `limit` after the `offset` oldest; always oldest first."""
    newest_first = limit is not None and limit >= 0 and (offset is None or offset < 0)
    skip = 0 if newest_first else max(0, offset or 0)
    wanted = None if limit is None or limit < 0 else limit
    found: list[JobRecord] = []
    position = 0
    while wanted is None or len(found) < wanted:
        page = await services.engine.list(
            JobQuery(
                states=tuple(TERMINAL_STATES), limit=_HISTORY_PAGE, offset=position, newest_first=newest_first,
                with_documents=True,
            )
        )  # fmt: skip
        visible = [job for job in page.jobs if is_visible(job)]
        skipped = min(skip, len(visible))
        skip -= skipped
        found.extend(visible[skipped:])
        position += len(page.jobs)
        if len(page.jobs) < _HISTORY_PAGE:
            break
    found = found if wanted is None else found[:wanted]
    return found[::-1] if newest_first else found


async def get_history_entry(request: web.Request) -> web.Response:
    """One ended job; {} when there is none of that id."""
    engine = request.app[SERVICES].engine
    try:
        job = await engine.get(JobId(request.match_info["prompt_id"]))
    except NotFoundError:
        return say({})
    return say({job.id: history_entry(job)} if job.is_terminal and is_visible(job) else {})


async def post_history(request: web.Request) -> web.Response:
    """Forget ended jobs."""
    body = _object(await read_json(request))
    engine = request.app[SERVICES].engine
    if body.get("clear"):
        await engine.delete_history()
    if body.get("delete"):
        await engine.delete_history(_ids(body["delete"]))
    return empty()


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise GraphError("The body must be a JSON object.", code="bad_request")
    return body


def _ids(value: Any) -> list[JobId]:
    if not isinstance(value, list):
        raise GraphError("delete must be a list of prompt ids.", code="bad_request")
    return [JobId(str(item)) for item in value]


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/prompt", get_prompt),
    ("POST", "/prompt", post_prompt),
    ("GET", "/queue", get_queue),
    ("POST", "/queue", post_queue),
    ("POST", "/interrupt", post_interrupt),
    ("POST", "/free", post_free),
    ("GET", "/history", get_history),
    ("GET", "/history/{prompt_id}", get_history_entry),
    ("POST", "/history", post_history),
)
