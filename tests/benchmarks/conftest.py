"""Benchmarks run with no other test beside them and leave figures, shown as one table at the end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Figures:
    """Lines of the table that a test adds: topic, what was measured, the value as text, what is wanted."""

    item: pytest.Item

    def add(self, topic: str, figure: str, value: str, wanted: str = "") -> None:
        self.item.user_properties.append(("figure", (topic, figure, value, wanted)))


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    return Figures(request.node)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.alone)
