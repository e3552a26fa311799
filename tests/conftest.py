"""What holds for all tests: how several test processes share the machine, and the table of figures."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.figures import figure_rows, machine_line

if "PYTEST_XDIST_WORKER" in os.environ:
    # One process per core: a second thread each would only be in the way. Set before anything imports torch.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


# How long an example takes says how busy the machine is.
settings.register_profile("no time limits", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no time limits")


class Turnstile:
    """Lets tests of several processes run side by side, or one of them alone.

    Whoever wants to be alone closes the entrance first, so that it does not wait for ever while others come and go.
    """

    def __init__(self, run: str) -> None:
        self._paths = [Path(tempfile.gettempdir()) / f"atelier-tests-{run}-{name}" for name in ("entrance", "room")]
        self._entrance, self._room = (os.open(path, os.O_RDWR | os.O_CREAT, 0o600) for path in self._paths)

    @contextmanager
    def passed(self, *, alone: bool) -> Iterator[None]:
        """Be in the room, with the others or alone."""
        import fcntl

        fcntl.flock(self._entrance, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._entrance, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._room, fcntl.LOCK_UN)

    def remove(self) -> None:
        """Delete the files; whoever has them open goes on with them."""
        for path in self._paths:
            path.unlink(missing_ok=True)


TURNSTILE: pytest.StashKey[Turnstile] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    run = getattr(config, "workerinput", {}).get("testrunuid")
    if run and sys.platform != "win32":
        config.stash[TURNSTILE] = Turnstile(run)


def pytest_unconfigure(config: pytest.Config) -> None:
    if TURNSTILE in config.stash:
        config.stash[TURNSTILE].remove()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Waits before the time limit of the test begins."""
    turnstile = item.config.stash.get(TURNSTILE, None)
    if turnstile is None:
        return (yield)
    with turnstile.passed(alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures that benchmarks left."""
    rows = figure_rows(terminalreporter)
    if not rows:
        return
    terminalreporter.section("figures")
    terminalreporter.write_line(machine_line())
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
