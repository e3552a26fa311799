"""How `main.py test` spreads the tests over processes."""

from __future__ import annotations

import pytest

from engine.command.test import spreading

FILES = ["--dist", "loadfile", "--no-loadscope-reorder"]


@pytest.mark.parametrize("arguments", [[], ["-m", "thorough"], ["tests/unit"], ["-k", "sampler", "-x"]])
def test_folders_are_spread_over_as_many_processes_as_there_are(arguments: list[str]) -> None:
    assert spreading(arguments, 3) == ["-n", "3", *FILES]


@pytest.mark.parametrize("arguments", [["-n", "0"], ["-n4"], ["--numprocesses=2", "tests/unit/test_api.py"]])
def test_the_number_of_processes_given_wins(arguments: list[str]) -> None:
    assert spreading(arguments, 3) == FILES


@pytest.mark.parametrize(
    "arguments", [["tests/unit/test_api.py"], ["tests/unit/test_api.py::test_it", "-x"], ["-s"], ["tests", "--pdb"]]
)
def test_named_files_and_runs_that_want_the_terminal_stay_in_one_process(arguments: list[str]) -> None:
    assert spreading(arguments, 3) == []


@pytest.mark.parametrize("num_processes", [0, 1])
def test_one_core_or_little_memory_means_one_process(num_processes: int) -> None:
    assert spreading([], num_processes) == []
