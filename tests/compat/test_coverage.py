from __future__ import annotations

import re
from pathlib import Path

from engine.compat.comfyui import server
from engine.compat.comfyui.server import catalog_routes, system_routes
from engine.compat.comfyui.worker import Host
from engine.compat.comfyui.worker.standins import build_modules

from .server.conftest import make_settings

PAGE = Path(__file__).parents[2] / "engine" / "compat" / "comfyui" / "COVERAGE.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_page_lists_exactly_the_names_of_every_stand_in_module(tmp_path: Path) -> None:
    listed = {
        module: set(re.findall(r"`([\w.]+)`", names))
        for module, names in re.findall(r"^\| `([\w.]+)` \| (.*) \|$", TEXT, re.MULTILINE)
    }
    modules = build_modules(Host(make_settings(tmp_path)))
    assert listed == {name: set(module.__all__) for name, module in modules.items()}


def test_every_listed_name_can_be_read_from_its_module(tmp_path: Path) -> None:
    for name, module in build_modules(Host(make_settings(tmp_path))).items():
        missing = [item for item in module.__all__ if not hasattr(module, item)]
        assert missing == [], name


def test_the_page_lists_exactly_the_mounted_routes() -> None:
    listed = set(re.findall(r"^\| ([A-Z]+) \| `([^`]+)` \| (both|plain only|`/api` only) \|", TEXT, re.MULTILINE))
    mounted = {(method, path, "both") for module in server.MIRRORED for method, path, _ in module.ROUTES}
    for routes, where in (
        (system_routes.INTERNAL_ROUTES, "plain only"),
        (catalog_routes.STATIC_ROUTES, "plain only"),
        (catalog_routes.API_ROUTES, "`/api` only"),
    ):
        mounted |= {(method, path, where) for method, path, _ in routes}
    assert listed == mounted


def test_every_test_file_the_page_names_exists() -> None:
    names = set(re.findall(r"`(test_\w+\.py)`", TEXT))
    assert names <= {path.name for path in Path(__file__).parent.rglob("test_*.py")}
