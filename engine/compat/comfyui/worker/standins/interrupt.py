"""Cancellation as packs see it."""

from __future__ import annotations

from typing import Any

from engine.api import Cancelled
from engine.compat.comfyui.worker.running import running

__all__ = [
    "InterruptProcessingException",
    "interrupt_current_processing",
    "processing_interrupted",
    "throw_exception_if_processing_interrupted",
]


class InterruptProcessingException(Cancelled):
    """The job is to stop."""

    def __init__(self, message: str = "The job was cancelled.", **more: Any) -> None:
        super().__init__(str(message), **more)


def processing_interrupted() -> bool:
    """Whether the job of the running call is to stop."""
    context = running()
    if context is None:
        return False
    try:
        context.check_cancelled()
    except Cancelled:
        return True
    return False


def throw_exception_if_processing_interrupted() -> None:
    """Raise InterruptProcessingException when the job of the running call is to stop."""
    if processing_interrupted():
        raise InterruptProcessingException


def interrupt_current_processing(value: bool = True) -> None:
    """End the running job from inside one of its nodes (nothing outside a call, or with False)."""
    if value and running() is not None:
        raise InterruptProcessingException
