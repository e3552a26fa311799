"""Compatibility with ComfyUI: its custom nodes (worker/, needs torch), its HTTP and WebSocket API (server/, does not)."""

from __future__ import annotations

__all__ = ["EMULATED_VERSION"]

EMULATED_VERSION = "0.3.64"
"""The ComfyUI version whose observable behaviour is emulated."""
