"""The catalog of node specs as the server gets it: quickly when nothing changed, in full when something did."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.api import NodeDefinition
from engine.core.digest import digest_value
from engine.graph.schema import NodeSpec, spec_to_json
from engine.protocol.messages import CatalogPublished, Message, PackReport

__all__ = ["CatalogPublisher"]

_LOG = logging.getLogger(__name__)


class CatalogPublisher:
    """Publishes specs. A catalog's digest is `<sources>-<specs>`: old packs list files in their specs, which change.

    Args:
        definitions: all loaded nodes.
        reports: how the packs loaded.
        sources: `Sources.digest`, digest of the source files.
        known: the digest of the catalog the server has.
    """

    def __init__(
        self,
        definitions: Mapping[str, NodeDefinition],
        reports: Sequence[PackReport],
        sources: str,
        known: str,
        send: Callable[[Message], None],
    ) -> None:
        self._definitions = definitions
        self._reports = list(reports)
        self._sources = sources
        self._known = known
        self._send = send

    def publish(self) -> None:
        """Send the catalog; without specs when the server knows them."""
        specs = [self._describe(definition) for definition in self._definitions.values()]
        digest = f"{self._sources}-{digest_value(specs)}"
        self._send(CatalogPublished(digest, [] if digest == self._known else specs, self._reports))
        self._known = digest

    def _describe(self, definition: NodeDefinition) -> dict[str, Any]:
        describe = definition.extra.get("describe")
        spec = definition.spec
        if describe is not None:
            try:
                spec = _as_loaded(describe(), definition.spec)
            except Exception:  # noqa: BLE001 - code of a pack; the declaration it was loaded with stays usable
                _LOG.warning("Node %s cannot be described again.", spec.name, exc_info=True)
        return spec_to_json(spec)


def _as_loaded(fresh: NodeSpec, loaded: NodeSpec) -> NodeSpec:
    """A fresh declaration under the name, pack and version it was loaded with."""
    return replace(fresh, name=loaded.name, pack=loaded.pack, module=loaded.module, version=loaded.version)
