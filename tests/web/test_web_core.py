"""The editor's core: its own tests, types and layers, run with Node; and its API types against the server's."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from random import Random

import pytest

from engine.command.editor import NodeTools, find_tools, install_packages
from engine.command.environment import SetupError
from engine.graph.compile import compile_workflow
from engine.graph.prompt import to_prompt
from engine.graph.workflow import Workflow
from tests.published_templates import published_templates, templates_folder
from tests.reference_catalog import reference_catalog
from tools.describe_api import api_text

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"


@pytest.fixture(scope="module")
def npm() -> NodeTools:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    try:
        tools = find_tools(ROOT)
    except SetupError as error:
        pytest.skip(str(error))
    install_packages(WEB, tools)
    return tools


@pytest.fixture
def compiled_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell the editor's tests where published templates are and what the server's compiler makes of each."""
    folder = templates_folder()
    if folder is None:
        return
    prompts = {}
    for name, document in published_templates().items():
        graph = compile_workflow(Workflow.load(document), reference_catalog(), rng=Random(0))
        plain = {key: {k: v for k, v in node.items() if k != "_meta"} for key, node in to_prompt(graph).items()}
        prompts[name] = plain
    (tmp_path / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")
    monkeypatch.setenv("ATELIER_TEMPLATES", str(folder))
    monkeypatch.setenv("ATELIER_TEMPLATE_PROMPTS", str(tmp_path / "prompts.json"))


@pytest.mark.slow
def test_the_editors_types_layers_and_lines_are_sound(npm: NodeTools) -> None:
    result = npm.run(("run", "check"), WEB)
    assert result.returncode == 0, result.stdout[-6000:]


@pytest.mark.slow
def test_the_editors_own_tests_pass(npm: NodeTools, compiled_templates: None) -> None:
    result = npm.run(("run", "test"), WEB)
    assert result.returncode == 0, result.stdout[-6000:]


def test_the_editors_api_types_are_those_of_the_servers_description() -> None:
    text = (WEB / "src" / "server" / "api_types.ts").read_text(encoding="utf-8")
    found = re.search(r"^// API digest: (\w+)$", text, re.MULTILINE)
    assert found is not None, "the digest is missing"
    wanted = hashlib.sha256(api_text().encode()).hexdigest()
    assert found.group(1) == wanted, "run tools/describe_api.py and `npm run types`, see web/README.md"
