"""/jobs: submit, list, read, follow, cancel, queue again, delete."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aiohttp import web

from engine.core.ids import ClientId, JobId, NodeId
from engine.server.file_replies import data_reply
from engine.server.operations import Call, Operation, Parameter, Reply, invalid
from engine.server.records import STATES, JobQuery, JobRecord, JobRequest, Submission
from engine.server.replies import json_reply
from engine.server.routes.event_stream import send_events
from engine.server.routes.schemas import array_of, ref

__all__ = ["OPERATIONS", "job_json"]

_SHOWN = (
    "id", "state", "number", "priority", "client_id", "targets", "alone", "attempts", "cancel_requested", "worker",
    "created_s", "started_s", "finished_s", "error", "outputs", "ran", "cached", "crashes",
)  # fmt: skip
_JOB = Parameter("job", {"type": "string", "maxLength": 200}, "The job's id.", "path")
_MAX_WAIT_S = 600.0
_MAX_NAME = {"type": "string", "minLength": 1, "maxLength": 200}

_PRIORITY = "High runs first, whatever came first. 0 where nothing is said."
_FRONT = "Before everything that waits with the same priority."

_SUBMIT_BODY = {
    "type": "object",
    "properties": {
        "prompt": {"type": "object", "description": "API JSON: nodes by id."},
        "workflow": {"type": "object", "description": "Editor JSON, instead of prompt."},
        "targets": {"type": "array", "items": _MAX_NAME, "maxItems": 10_000, "description": "Output nodes to run."},
        "id": {**_MAX_NAME, "description": "The job's id, chosen by the client; makes the request repeatable."},
        "client_id": _MAX_NAME,
        "extra": {
            "type": "object",
            "description": "Kept with the job; extra_pnginfo goes into files, by workflow_name /assets finds them.",
        },
        "priority": {"type": "integer", "minimum": -1000, "maximum": 1000, "description": _PRIORITY},
        "front": {"type": "boolean", "description": _FRONT},
        "alone": {"type": "boolean", "description": "Share no forward with other jobs."},
        "wait": {"type": "number", "minimum": 0, "maximum": _MAX_WAIT_S, "description": "Seconds to wait for the end."},
    },
    "additionalProperties": False,
}


def job_json(job: JobRecord, *, with_documents: bool = False) -> dict[str, Any]:
    """A job as the native API shows it."""
    record = {name: getattr(job, name) for name in _SHOWN}
    if with_documents:
        record.update(prompt=job.prompt, extra=job.extra, stats=job.stats)
    return record


async def submit_job(call: Call) -> web.StreamResponse:
    """201 for a new job, 200 for a repeat; with `wait`, the job as it is by then."""
    body = call.body
    if ("prompt" in body) == ("workflow" in body):
        raise invalid("", "must have either prompt or workflow")
    targets = body.get("targets")
    request = JobRequest(
        document=body.get("prompt") or body.get("workflow") or {},
        targets=None if targets is None else tuple(map(NodeId, targets)),
        extra=body.get("extra", {}),
        client_id=ClientId(body["client_id"]) if "client_id" in body else None,
        job_id=JobId(body["id"]) if "id" in body else None,
        idempotency_key=call.params["Idempotency-Key"],
        front=body.get("front", False),
        priority=body.get("priority", 0),
        alone=body.get("alone", False),
    )
    submission = await call.services.engine.submit(request)
    job = submission.job
    if body.get("wait") and not job.is_terminal:
        job = await call.services.engine.wait(job.id, body["wait"])
    return _submitted(submission, job)


def _submitted(submission: Submission, job: JobRecord) -> web.Response:
    complaints = [complaint.to_json() for complaint in submission.complaints]
    headers = {"Location": f"/api/v1/jobs/{job.id}"} if job.id.isascii() else None
    return json_reply({"job": job_json(job), "complaints": complaints}, 201 if submission.created else 200, headers)


async def list_jobs(call: Call) -> web.StreamResponse:
    """A page of jobs, newest first, or waiting ones in running order."""
    states = tuple(filter(None, (call.params["state"] or "").split(",")))
    unknown = [state for state in states if state not in STATES]
    if unknown:
        raise invalid("state", f"knows no {unknown[0][:40]!r}; there are {', '.join(STATES)}")
    query = JobQuery(
        states=states,
        client_id=call.params["client_id"],
        limit=call.params["limit"],
        offset=call.params["offset"],
        newest_first=call.params["order"] == "newest",
        in_queue_order=call.params["order"] == "queue",
    )
    page = await call.services.engine.list(query)
    return json_reply({"jobs": [job_json(job) for job in page.jobs], "total": page.total})


async def get_job(call: Call) -> web.StreamResponse:
    """One job with its documents."""
    job = await call.services.engine.get(call.params["job"])
    return json_reply(job_json(job, with_documents=True))


async def wait_for_job(call: Call) -> web.StreamResponse:
    """The job when it has ended, or as it is after the given seconds."""
    return json_reply(job_json(await call.services.engine.wait(call.params["job"], call.params["seconds"])))


async def delete_job(call: Call) -> web.StreamResponse:
    """Forget an ended job."""
    await call.services.engine.delete(call.params["job"])
    return web.Response(status=204)


async def cancel_job(call: Call) -> web.StreamResponse:
    """Cancel; 202 while a worker still has to let go of it."""
    job = await call.services.engine.cancel(call.params["job"])
    return json_reply(job_json(job), 200 if job.is_terminal else 202)


async def requeue_job(call: Call) -> web.StreamResponse:
    """Queue an ended job again."""
    return json_reply(job_json(await call.services.engine.requeue(call.params["job"])))


async def move_job(call: Call) -> web.StreamResponse:
    """Change a waiting job's place."""
    job = await call.services.engine.move(
        call.params["job"], front=call.body.get("front", False), priority=call.body.get("priority"),
        before=call.body.get("before"),
    )  # fmt: skip
    return json_reply(job_json(job))


async def explain_job(call: Call) -> web.StreamResponse:
    """Why nodes ran: which input differed."""
    return json_reply(await call.services.engine.why(call.params["job"]))


async def get_preview(call: Call) -> web.StreamResponse:
    """The newest picture of a node at work."""
    picture = call.services.feed.previews.get(JobId(call.params["job"]), call.params["node"])
    return data_reply(picture.data, "preview.jpg", cache="private, max-age=60")


async def list_job_events(call: Call) -> web.StreamResponse:
    """Stored events as JSON, or all events as a stream when the client asks for text/event-stream."""
    job, after = call.params["job"], call.params["after"]
    last = call.params["Last-Event-ID"]
    if last is not None and last.isascii() and last.isdigit():
        after = max(after, int(last[:15]))
    if "text/event-stream" in call.request.headers.get("Accept", ""):
        return await send_events(call, job, after)
    events = await call.services.engine.events(job, after, call.params["limit"])
    shown = [{key: value for key, value in asdict(event).items() if key != "client_id"} for event in events]
    return json_reply(shown)


_NO_JOB = Reply("There is no such job.", ref("Error"))
_TAGS = ("jobs",)
_KEY = Parameter("Idempotency-Key", _MAX_NAME, "Same key, same body: same job.", "header")
_NOT_YET = Reply("No worker has published its nodes yet.", ref("Error"))

OPERATIONS = (
    Operation(
        "POST", "/jobs", submit_job, "Submit a prompt or workflow", body=_SUBMIT_BODY, parameters=(_KEY,), tags=_TAGS,
        replies={
            200: Reply("The same request was accepted before; its job.", ref("Submitted")),
            201: Reply("Queued durably.", ref("Submitted")),
            409: Reply("The key or id belongs to another request.", ref("Error")),
            422: Reply("No output of the graph can run; all complaints under details.complaints.", ref("Error")),
            503: _NOT_YET,
        },
    ),
    Operation(
        "GET", "/jobs", list_jobs, "List jobs", tags=_TAGS,
        parameters=(
            Parameter("state", {"type": "string", "maxLength": 200}, "Comma-separated states."),
            Parameter("client_id", {"type": "string", "maxLength": 200}, "Only this client's jobs."),
            Parameter("order", {"type": "string", "enum": ["newest", "oldest", "queue"]}, "Order.", default="newest"),
            Parameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "Page size.", default=100),
            Parameter("offset", {"type": "integer", "minimum": 0, "maximum": 10**9}, "Jobs to skip.", default=0),
        ),
        replies={200: Reply("A page of jobs, without documents.", ref("JobPage"))},
    ),
    Operation(
        "GET", "/jobs/{job}", get_job, "Read a job", parameters=(_JOB,), tags=_TAGS,
        replies={200: Reply("The job with its documents.", ref("Job")), 404: _NO_JOB},
    ),
    Operation(
        "DELETE", "/jobs/{job}", delete_job, "Forget an ended job", parameters=(_JOB,), tags=_TAGS,
        replies={204: Reply("Forgotten; its files stay."), 404: _NO_JOB, 409: Reply("It has not ended.", ref("Error"))},
    ),
    Operation(
        "GET", "/jobs/{job}/wait", wait_for_job, "Wait for a job's end", tags=_TAGS,
        parameters=(
            _JOB,
            Parameter("seconds", {"type": "number", "minimum": 0, "maximum": _MAX_WAIT_S}, "How long.", default=30.0),
        ),
        replies={200: Reply("The job by then.", ref("Job")), 404: _NO_JOB},
    ),
    Operation(
        "POST", "/jobs/{job}/cancel", cancel_job, "Cancel a job", parameters=(_JOB,), tags=_TAGS,
        replies={
            200: Reply("It has ended.", ref("Job")),
            202: Reply("It will be stopped, by force if need be.", ref("Job")),
            404: _NO_JOB,
        },
    ),
    Operation(
        "POST", "/jobs/{job}/requeue", requeue_job, "Queue an ended job again", parameters=(_JOB,), tags=_TAGS,
        replies={200: Reply("It waits.", ref("Job")), 404: _NO_JOB, 409: Reply("It has not ended.", ref("Error"))},
    ),
    Operation(
        "POST", "/jobs/{job}/move", move_job, "Change a waiting job's place", parameters=(_JOB,), tags=_TAGS,
        body={
            "type": "object",
            "properties": {
                "front": {"type": "boolean", "description": _FRONT},
                "priority": {
                    "type": "integer", "minimum": -1000, "maximum": 1000,
                    "description": f"{_PRIORITY.split('.')[0]}. Left as it is where nothing is said.",
                },
                "before": {
                    "type": "string",
                    "description": "Directly before this waiting job, with its priority; the others say nothing then.",
                },
            },
            "additionalProperties": False,
        },
        replies={200: Reply("Moved.", ref("Job")), 404: _NO_JOB, 409: Reply("It waits no more.", ref("Error"))},
    ),
    Operation(
        "GET", "/jobs/{job}/why", explain_job, "Why nodes ran", parameters=(_JOB,), tags=_TAGS,
        replies={200: Reply("Nodes that ran with reasons, and cached ones.", ref("Reasons")), 404: _NO_JOB},
    ),
    Operation(
        "GET", "/jobs/{job}/previews/{node}", get_preview, "The unfinished picture of a running node", tags=_TAGS,
        parameters=(
            _JOB,
            Parameter("node", {"type": "string", "maxLength": 300}, "The node of the node_preview event.", "path"),
            Parameter("at", {"type": "number"}, "The event's time: a new address for each picture."),
        ),
        replies={
            200: Reply("JPEG or PNG.", None, "image/*"),
            404: Reply("It shows none, or the job has ended.", ref("Error")),
        },
    ),
    Operation(
        "GET", "/jobs/{job}/events", list_job_events, "A job's events, stored or live (text/event-stream)", tags=_TAGS,
        parameters=(
            _JOB,
            Parameter("after", {"type": "integer", "minimum": 0, "maximum": 10**15}, "Only later numbers.", default=0),
            Parameter("limit", {"type": "integer", "minimum": 1, "maximum": 10_000}, "At most.", default=1000),
            Parameter("Last-Event-ID", {"type": "string", "maxLength": 100}, "Resume a stream.", "header"),
        ),
        replies={200: Reply("Events in order.", array_of(ref("Event"))), 404: _NO_JOB},
    ),
)  # fmt: skip
