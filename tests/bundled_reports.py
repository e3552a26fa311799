"""Reports that a worker sends in one frame, as the single reports they stand for."""

from __future__ import annotations

from engine.protocol.messages import JobReport, JobReports, Message

__all__ = ["single"]


def single(message: Message) -> list[Message]:
    if isinstance(message, JobReports):
        return [JobReport(message.job, message.epoch, entry.kind, entry.data) for entry in message.entries]
    return [message]
