"""Compatibility with ComfyUI: custom nodes (worker/, needs torch), HTTP and WebSocket API (server/, does not)."""

from __future__ import annotations

__all__ = ["EMULATED_VERSION"]

EMULATED_VERSION = "0.3.64"
"""The ComfyUI version whose observable behaviour is emulated."""
