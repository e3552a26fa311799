"""/jobs: the queue and the history as later servers show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from engine.compat.comfyui.server.queue_shapes import job_detail, job_item
from engine.compat.comfyui.server.requests import SERVICES, Handler, query_int, read_json, say
from engine.core.errors import GraphError, NotFoundError
from engine.core.ids import JobId
from engine.server.records import (
    CANCELLED,
    FAILED,
    LEASED,
    QUARANTINED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    JobQuery,
    JobRecord,
)

__all__ = ["ROUTES"]

_STATES: Mapping[str, tuple[str, ...]] = {
    "pending": (QUEUED,),
    "in_progress": (LEASED, RUNNING),
    "completed": (SUCCEEDED,),
    "failed": (FAILED, QUARANTINED),
    "cancelled": (CANCELLED,),
}
_MAX_LISTED = 1000
_MAX_CANCELLED = 1000


async def list_jobs(request: web.Request) -> web.Response:
    """Jobs by status, newest first."""
    try:
        states = _states(request.query.get("status"))
        limit, offset = query_int(request, "limit"), query_int(request, "offset", 0) or 0
        descending = _one_of(request, "sort_order", ("desc", "asc")) == "desc"
        by_duration = _one_of(request, "sort_by", ("created_at", "execution_duration")) == "execution_duration"
        if (limit is not None and limit <= 0) or offset < 0:
            raise GraphError("limit must be above 0 and offset not below 0.", code="bad_request")
    except GraphError as error:
        return say({"error": error.message}, 400)
    engine = request.app[SERVICES].engine
    workflow = request.query.get("workflow_id")
    if workflow is None and not by_duration:
        size = min(limit or _MAX_LISTED, _MAX_LISTED)
        page = await engine.list(
            JobQuery(states=states, limit=size, offset=offset, newest_first=descending, with_documents=True)
        )
        jobs, total = [job_item(job) for job in page.jobs], page.total
    else:
        query = JobQuery(states=states, limit=None, newest_first=descending, with_documents=True)
        records = list((await engine.list(query)).jobs)
        if by_duration:
            records.sort(key=_duration, reverse=descending)
        items = [job_item(job) for job in records]
        items = [item for item in items if workflow is None or item.get("workflow_id") == workflow]
        jobs, total = items[offset : offset + (limit or _MAX_LISTED)], len(items)
    more = offset + len(jobs) < total
    pagination = {"offset": offset, "limit": limit, "total": total, "has_more": more}
    return say({"jobs": jobs, "pagination": pagination})


def _duration(job: JobRecord) -> float:
    return (job.finished_s or 0.0) - (job.started_s or 0.0) if job.finished_s and job.started_s else 0.0


def _states(text: str | None) -> tuple[str, ...]:
    if not text:
        return ()
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in _STATES]
    if unknown:
        raise GraphError(f"There is no status {unknown[0][:50]!r}.", code="bad_request")
    return tuple(state for name in names for state in _STATES[name])


def _one_of(request: web.Request, name: str, values: tuple[str, ...]) -> str:
    value = request.query.get(name, values[0])
    if value not in values:
        raise GraphError(f"{name} must be one of {', '.join(values)}.", code="bad_request")
    return value


async def get_job(request: web.Request) -> web.Response:
    """One job with its outputs and workflow."""
    try:
        job = await request.app[SERVICES].engine.get(JobId(request.match_info["job"]))
    except NotFoundError:
        return say({"error": "Job not found"}, 404)
    detail = job_detail(job)
    return say({key: value for key, value in detail.items() if value is not None})


async def cancel_job(request: web.Request) -> web.Response:
    """Cancel one job, waiting or running."""
    return say({"cancelled": await _cancel(request, request.match_info["job"])})


async def cancel_jobs(request: web.Request) -> web.Response:
    """Cancel several jobs."""
    body: Any = await read_json(request)
    ids = body.get("job_ids") if isinstance(body, dict) else None
    if not isinstance(ids, list) or len(ids) > _MAX_CANCELLED or not all(isinstance(item, str) for item in ids):
        return say({"error": "job_ids must be a list of ids"}, 400)
    cancelled = [await _cancel(request, job) for job in ids]
    return say({"cancelled": any(cancelled)})


async def _cancel(request: web.Request, job: str) -> bool:
    engine = request.app[SERVICES].engine
    try:
        before = await engine.services.jobs.get(JobId(job), with_documents=False)
    except NotFoundError:
        return False
    if before.is_terminal:
        return False
    await engine.cancel(before.id)
    return True


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/jobs", list_jobs),
    ("POST", "/jobs/cancel", cancel_jobs),
    ("GET", "/jobs/{job}", get_job),
    ("POST", "/jobs/{job}/cancel", cancel_job),
)
