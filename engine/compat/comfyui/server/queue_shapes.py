"""Jobs in the shapes of /queue, /history and /jobs."""

from __future__ import annotations

from typing import Any

from engine.server.records import CANCELLED, LEASED, QUEUED, RUNNING, SUCCEEDED, JobRecord

__all__ = [
    "failure_data",
    "history_entry",
    "is_visible",
    "job_detail",
    "job_item",
    "job_status",
    "plain_number",
    "queue_item",
]

_MEDIA = ("images", "video", "audio", "3d", "text", "gifs")


def plain_number(number: float) -> int | float:
    """A queue number as clients write it: whole ones without a point."""
    return int(number) if number == int(number) else number


def queue_item(job: JobRecord) -> list[Any]:
    """[number, prompt_id, prompt, extra_data, output node ids]."""
    extra = {key: value for key, value in job.extra.items() if key != "comfyui_number"}
    if job.client_id is not None:
        extra["client_id"] = job.client_id
    extra.setdefault("create_time", int(job.created_s * 1000))
    return [plain_number(job.number), job.id, dict(job.prompt), extra, list(job.targets)]


def is_visible(job: JobRecord) -> bool:
    """Whether the history shows the job: everything that ended after it had started, or could not start."""
    return not (job.state == CANCELLED and job.started_s is None)


def history_entry(job: JobRecord) -> dict[str, Any]:
    """{"prompt", "outputs", "status", "meta"} of an ended job."""
    return {
        "prompt": queue_item(job),
        "outputs": dict(job.outputs),
        "status": {
            "status_str": "success" if job.state == SUCCEEDED else "error",
            "completed": job.state == SUCCEEDED,
            "messages": _messages(job),
        },
        "meta": {node: _place(node, place) for node, place in job.nodes.items()},
    }


def _place(node: str, place: dict[str, Any]) -> dict[str, Any]:
    return {
        "node_id": place.get("node", node),
        "display_node": place.get("display", node),
        "parent_node": place.get("parent"),
        "real_node_id": place.get("real", node),
    }


def _messages(job: JobRecord) -> list[list[Any]]:
    start_ms, end_ms = _ms(job.started_s or job.finished_s), _ms(job.finished_s)
    messages: list[list[Any]] = [
        ["execution_start", {"prompt_id": job.id, "timestamp": start_ms}],
        ["execution_cached", {"nodes": list(job.cached), "prompt_id": job.id, "timestamp": start_ms}],
    ]
    if job.state == SUCCEEDED:
        messages.append(["execution_success", {"prompt_id": job.id, "timestamp": end_ms}])
    elif job.state == CANCELLED:
        data = {"prompt_id": job.id, "node_id": "", "node_type": "", "executed": list(job.ran), "timestamp": end_ms}
        messages.append(["execution_interrupted", data])
    else:
        messages.append(["execution_error", {**failure_data(job), "timestamp": end_ms}])
    return messages


def failure_data(job: JobRecord) -> dict[str, Any]:
    """The data of execution_error for a failed job (without its timestamp)."""
    error = dict(job.error or {})
    details = error.get("details")
    facts = {**(details if isinstance(details, dict) else {}), **error}
    node = str(error.get("node") or "")
    record = job.prompt.get(node)
    text = facts.get("exception_message") or error.get("message") or "The job failed."
    executed = facts.get("executed", [*job.cached, *(name for name in job.ran if name != node)])
    return {
        "prompt_id": job.id,
        "node_id": node,
        "node_type": record["class_type"] if isinstance(record, dict) else facts.get("node_type", ""),
        "executed": list(executed),
        "exception_message": f"{text}\n{error.get('hint') or ''}",
        "exception_type": facts.get("exception_type") or str(error.get("code") or "error"),
        "traceback": list(facts.get("traceback") or ()),
        "current_inputs": dict(facts.get("current_inputs") or {}),
        "current_outputs": list(executed),
    }


# ------------------------------------------------------------------ /jobs (later servers)


def job_status(job: JobRecord) -> str:
    """pending, in_progress, completed, cancelled or failed."""
    names = {QUEUED: "pending", LEASED: "in_progress", RUNNING: "in_progress", SUCCEEDED: "completed"}
    return names.get(job.state, "cancelled" if job.state == CANCELLED else "failed")


def job_item(job: JobRecord) -> dict[str, Any]:
    """A job as listed; members without a value are left out."""
    previews = [
        {**entry, "nodeId": node, "mediaType": kind}
        for node, ui in job.outputs.items()
        for kind in _MEDIA
        for entry in (ui.get(kind) or ())
        if isinstance(entry, dict)
    ]
    workflow = (job.extra.get("extra_pnginfo") or {}).get("workflow") if job.extra else None
    item = {
        "id": job.id,
        "status": job_status(job),
        "priority": plain_number(job.number),
        "create_time": _ms(job.created_s),
        "execution_start_time": _ms(job.started_s),
        "execution_end_time": _ms(job.finished_s),
        "execution_error": failure_data(job) if job_status(job) == "failed" else None,
        "outputs_count": sum(len(items) for ui in job.outputs.values() for items in ui.values()),
        "previewable_outputs_count": len(previews),
        "preview_output": previews[-1] if previews else None,
        "workflow_id": workflow.get("id") if isinstance(workflow, dict) else None,
    }
    return {key: value for key, value in item.items() if value is not None}


def job_detail(job: JobRecord) -> dict[str, Any]:
    """A job with its outputs and its workflow."""
    number, _, prompt, extra, _ = queue_item(job)
    return {
        **job_item(job),
        "priority": number,
        "outputs": dict(job.outputs),
        "execution_status": history_entry(job)["status"] if job.is_terminal else None,
        "workflow": {"prompt": prompt, "extra_data": extra},
    }


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)
