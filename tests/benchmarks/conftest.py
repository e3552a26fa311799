"""Benchmarks run with no other test beside them and leave figures, shown as one table at the end."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.figures import figure_rows, put_into_page


@dataclass(frozen=True)
class Figures:
    """Lines of the table that a test adds: topic, what was measured, the value as text, what is wanted."""

    item: pytest.Item

    def add(self, topic: str, figure: str, value: str, wanted: str = "") -> None:
        self.item.user_properties.append(("figure", (topic, figure, value, wanted)))


@pytest.fixture(autouse=True)
def _alone_with_the_collector() -> Iterator[None]:
    """What other tests have left in this process is not walked through again and again while something is timed."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    return Figures(request.node)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bench", "figures of models")
    group.addoption("--model", default="starter", help="starter (default), sd15, sdxl (full size, made up), or a file")
    group.addoption("--size", type=int, action="append", help="side of the pictures in pixels, again for more; 256")
    group.addoption("--steps", type=int, default=4, help="forwards that are timed in each process; 4")
    group.addoption("--jobs", type=int, default=8, help="queued jobs; 8")
    group.addoption("--seconds", type=float, default=60, help="how long the server is under load; 60")
    group.addoption("--against", choices=("diffusers",), help="time the same weights there as well, in turns: A B A B")
    group.addoption("--out", type=Path, help="a page of Markdown to put the table into")
    group.addoption("--name", default="all", help="the mark of the table in that page; all")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    page = config.getoption("--out", default=None)
    rows = figure_rows(terminalreporter)
    if page is not None and rows:
        given = [argument for argument in config.invocation_params.args if "tests/benchmarks" not in str(argument)]
        words = [str(argument) for argument in given if argument not in ("-q", "--no-header", "-m", "")]
        put_into_page(page, config.getoption("--name"), " ".join(["python3 main.py bench", *words]), rows)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.alone)
