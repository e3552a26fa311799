"""The page about memory names what there is."""

from __future__ import annotations

import re
from pathlib import Path

from engine.command.arguments import FlagParser, add_server_flags
from engine.command.unused_flags import NO_EFFECT, REFUSED
from engine.memory.ledger import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "memory.md").read_text(encoding="utf-8")


def test_every_kind_of_change_is_on_the_page_with_its_meaning() -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE)) == KINDS


def test_every_flag_on_the_page_exists_and_does_something() -> None:
    parser = FlagParser(prog="main.py serve")
    add_server_flags(parser)
    known = {option for action in parser._actions for option in action.option_strings}
    flags = set(re.findall(r"`(--[a-z0-9-]+)", PAGE)) - {"--job"}
    assert len(flags) > 10
    assert flags <= known - set(NO_EFFECT) - set(REFUSED)
