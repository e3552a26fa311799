"""docs/http-api.md says what the server does."""

from __future__ import annotations

import json
import re

from engine.server.leases import TERMINAL_KINDS
from engine.server.records import STATES
from engine.server.routes import description
from tests.server_harness import ROOT

PAGE = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("server", "graph", "core")
    for path in (ROOT / "engine" / folder).rglob("*.py")
)


def test_every_address_on_the_page_exists():
    paths = {re.sub(r"\{\w+\}", "{}", path) for path in description()["paths"]}
    named = set(re.findall(r"(?:GET|POST|PUT|DELETE) (/api/v1/[\w/{}.]+)", PAGE))
    assert len(named) >= 6
    assert {re.sub(r"\{\w+\}", "{}", path) for path in named} <= paths


def test_every_state_and_final_event_is_on_the_page():
    words = set(re.findall(r"`(\w+)`", PAGE))
    assert set(STATES) <= words
    assert words >= TERMINAL_KINDS


def test_every_error_code_on_the_page_is_one_the_code_uses():
    table = PAGE.split("## Errors")[1]
    codes = {code for code in re.findall(r"`([a-z0-9_]+)`", table) if not code.startswith("http_")}
    assert len(codes) > 20
    assert [code for code in sorted(codes) if f'"{code}"' not in SOURCES] == []


def test_the_request_on_the_page_is_a_submit():
    body = PAGE.split("Content-Type: application/json\n\n")[1].split("```")[0]
    document = json.loads(body)
    fields = description()["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(document) <= set(fields["properties"])
    assert document["prompt"]["2"]["inputs"]["images"] == ["1", 0]
