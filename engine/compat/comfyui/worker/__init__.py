"""Runs existing node packs: adapts their node classes and lends them the modules they import.

`adapt_module` turns a loaded pack into node definitions; `install` puts stand-ins for the host's modules into
`sys.modules` (and takes them out again). Nothing happens at import.
"""

from __future__ import annotations

from engine.compat.comfyui.worker.adapt import adapt_class, adapt_module, describe_again
from engine.compat.comfyui.worker.host import ClientEvent, Host, RecordedHandler, RecordedRoute
from engine.compat.comfyui.worker.install import Installation, install
from engine.compat.comfyui.worker.pack_desk import PackDesk

__all__ = [
    "ClientEvent",
    "Host",
    "Installation",
    "PackDesk",
    "RecordedHandler",
    "RecordedRoute",
    "adapt_class",
    "adapt_module",
    "describe_again",
    "install",
]
