"""Packs on disk → definitions and reports."""

import importlib
import sys
from pathlib import Path

import pytest

from engine.core.settings import PackSettings
from engine.worker.pack_loader import load_builtins, load_packs
from engine.worker.pack_sources import BuiltinModule, builtin_versions, find_builtin_modules, find_packs, pack_digest

ROOT = Path(__file__).resolve().parents[3]
NODE = """
from engine.api import Int, node

@node("{name}")
def function(value: Int = 0) -> Int:
    return value
"""


@pytest.fixture(autouse=True)
def _fresh_modules():
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("custom_nodes."):
            del sys.modules[name]


def write_pack(root, name, source, **files):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(source)
    for stem, text in files.items():
        (folder / f"{stem}.py").write_text(text)
    return folder


def load(root, adapt=None, settings=None, definitions=None):
    definitions = {} if definitions is None else definitions
    packs = [(source, f"v-{source.name}") for source in find_packs([root], settings or PackSettings())]
    return {report.name: report for report in load_packs(packs, adapt, definitions)}, definitions


def test_native_nodes_of_a_pack_carry_its_name_module_and_version(tmp_path):
    write_pack(tmp_path, "my-pack", "from .inner import function", inner=NODE.format(name="PackNode"))
    reports, definitions = load(tmp_path)
    spec = definitions["PackNode"].spec
    assert (spec.pack, spec.module, spec.version) == ("my-pack", "custom_nodes.my-pack", "v-my-pack")
    assert (reports["my-pack"].node_types, reports["my-pack"].error) == (["PackNode"], "")
    assert reports["my-pack"].seconds > 0


def test_a_single_file_is_a_pack(tmp_path):
    (tmp_path / "lonely.py").write_text(NODE.format(name="LonelyNode"))
    reports, definitions = load(tmp_path)
    assert list(definitions) == ["LonelyNode"]
    assert reports["lonely"].path == str(tmp_path / "lonely.py")


def test_a_broken_pack_is_reported_with_its_traceback_and_stops_no_other(tmp_path):
    write_pack(
        tmp_path, "a_broken", "from .inner import x", inner="def x():\n    pass\nraise ValueError('on purpose')\n"
    )
    write_pack(tmp_path, "b_exits", "import sys\nsys.exit(1)\n")
    write_pack(tmp_path, "c_syntax", "def broken(:\n")
    write_pack(tmp_path, "d_good", NODE.format(name="GoodNode"))
    reports, definitions = load(tmp_path)
    assert list(definitions) == ["GoodNode"]
    assert "on purpose" in reports["a_broken"].error
    assert "inner.py" in reports["a_broken"].error
    assert "importlib" not in reports["a_broken"].error
    assert "SystemExit" in reports["b_exits"].error
    assert "SyntaxError" in reports["c_syntax"].error
    assert reports["d_good"].error == ""
    assert not [name for name in sys.modules if name.startswith("custom_nodes.a_broken")]


def test_disabled_hidden_and_empty_folders_are_no_packs(tmp_path):
    write_pack(tmp_path, "one.disabled", NODE.format(name="A"))
    write_pack(tmp_path, ".hidden", NODE.format(name="B"))
    write_pack(tmp_path, "__pycache__", NODE.format(name="C"))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "notes.txt").write_text("no pack")
    (tmp_path / "sample.py.example").write_text(NODE.format(name="D"))
    assert find_packs([tmp_path], PackSettings()) == ()


def test_a_folder_of_code_without_an_init_file_is_reported(tmp_path):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "nodes.py").write_text(NODE.format(name="A"))
    reports, _ = load(tmp_path)
    assert "has no __init__.py" in reports["half"].error


def test_only_allowed_packs_load_when_all_are_disabled(tmp_path):
    write_pack(tmp_path, "one", NODE.format(name="One"))
    write_pack(tmp_path, "two", NODE.format(name="Two"))
    assert load(tmp_path, settings=PackSettings(disable_all=True))[1] == {}
    assert list(load(tmp_path, settings=PackSettings(disable_all=True, allowed=("two",)))[1]) == ["Two"]


def test_the_first_owner_keeps_a_name_and_the_later_pack_is_warned(tmp_path):
    write_pack(tmp_path, "a", NODE.format(name="Same"))
    write_pack(tmp_path, "b", NODE.format(name="Same"))
    reports, definitions = load(tmp_path)
    assert definitions["Same"].spec.pack == "a"
    assert reports["b"].node_types == []
    assert reports["b"].warnings == ["Node Same is left out: a has one of that name."]


def test_of_two_folders_with_one_name_the_first_root_wins(tmp_path):
    write_pack(tmp_path / "x", "pack", NODE.format(name="FromX"))
    write_pack(tmp_path / "y", "pack", NODE.format(name="FromY"))
    (found,) = find_packs([tmp_path / "x", tmp_path / "y"], PackSettings())
    assert found.path == tmp_path / "x" / "pack"


def test_every_prestartup_script_runs_before_the_first_import(tmp_path):
    shared = "sys.modules.setdefault('order_of_packs', type(sys)('order_of_packs'))"
    note = f"import sys\n{shared}.__dict__.setdefault('log', []).append({{!r}})\n"
    write_pack(tmp_path, "a", note.format("import a"))
    write_pack(tmp_path, "b", note.format("import b"), prestartup_script=note.format("prestartup b"))
    try:
        load(tmp_path)
        assert sys.modules["order_of_packs"].log == ["prestartup b", "import a", "import b"]
    finally:
        sys.modules.pop("order_of_packs", None)


def test_a_failing_prestartup_script_is_a_warning_and_the_pack_loads(tmp_path):
    write_pack(tmp_path, "a", NODE.format(name="A"), prestartup_script="raise OSError('no disk')")
    reports, definitions = load(tmp_path)
    assert list(definitions) == ["A"]
    assert "no disk" in reports["a"].warnings[0]
    assert reports["a"].error == ""


def test_an_old_style_pack_goes_through_the_adapter(tmp_path):
    seen = []

    def adapt(module, pack_name, *, version, problems):
        seen.append((module.NODE_CLASS_MAPPINGS, pack_name, version))
        problems.append("one node is odd")
        return []

    write_pack(tmp_path, "old", "NODE_CLASS_MAPPINGS = {'X': object}")
    reports, _ = load(tmp_path, adapt)
    assert seen == [({"X": object}, "old", "v-old")]
    assert reports["old"].warnings == ["one node is odd"]


def test_an_old_style_pack_without_the_compatibility_layer_says_so(tmp_path):
    write_pack(tmp_path, "old", "NODE_CLASS_MAPPINGS = {}")
    assert "compatibility layer is not installed" in load(tmp_path)[0]["old"].error


def test_a_web_directory_is_absolute_and_stays_inside_its_pack(tmp_path):
    folder = write_pack(tmp_path, "good", "WEB_DIRECTORY = './js'")
    (folder / "js").mkdir()
    write_pack(tmp_path, "bad", "WEB_DIRECTORY = '../good'")
    reports, _ = load(tmp_path)
    assert reports["good"].web_directory == str((folder / "js").resolve())
    assert reports["bad"].web_directory == ""
    assert "not a folder inside the pack" in reports["bad"].warnings[0]


def test_a_built_in_name_is_not_taken_over_by_a_pack(tmp_path):
    definitions = {}
    load_builtins([(BuiltinModule("nodes.strings", ROOT / "nodes" / "strings.py"), "v1")], definitions)
    write_pack(tmp_path, "thief", NODE.format(name="StringConcatenate"))
    reports, definitions = load(tmp_path, definitions=definitions)
    assert definitions["StringConcatenate"].spec.pack == "nodes"
    assert "StringConcatenate is left out: nodes has one" in reports["thief"].warnings[0]


def test_a_broken_built_in_module_is_reported_and_the_others_load(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_built_in.py").write_text("raise RuntimeError('torn')")
    definitions = {}
    modules = [BuiltinModule("broken_built_in", tmp_path / "broken_built_in.py")]
    modules.append(BuiltinModule("nodes.primitives", ROOT / "nodes" / "primitives.py"))
    report = load_builtins([(module, "v") for module in modules], definitions)
    assert "torn" in report.error
    assert "PrimitiveInt" in definitions


def test_all_built_in_modules_load_without_a_complaint():
    modules = find_builtin_modules(ROOT / "nodes")
    definitions = {}
    report = load_builtins([(module, "v") for module in modules], definitions)
    assert report.error == ""
    assert report.warnings == []
    assert {definition.spec.pack for definition in definitions.values()} == {"nodes"}
    for module in modules:
        assert importlib.import_module(module.name).__file__ == str(module.path)


def test_the_example_pack_loads_without_a_complaint():
    (source,) = find_packs([ROOT / "custom_nodes"], PackSettings(disable_all=True, allowed=("example_pack",)))
    definitions = {}
    (report,) = load_packs([(source, "v")], None, definitions)
    assert (report.error, report.warnings) == ("", [])
    assert set(definitions) == {"ExampleTintImage", "ExampleSplitByBrightness", "ExampleSaveText"}


# ------------------------------------------------------------------ versions


def test_a_pack_digest_follows_its_python_files_and_not_its_place(tmp_path):
    write_pack(tmp_path / "x", "pack", "a = 1", more="b = 2")
    write_pack(tmp_path / "y", "pack", "a = 1", more="b = 2")
    write_pack(tmp_path / "z", "pack", "a = 1", more="b = 3")
    (tmp_path / "x" / "pack" / "settings.json").write_text("{}")
    (tmp_path / "x" / "pack" / "__pycache__").mkdir()
    (tmp_path / "x" / "pack" / "__pycache__" / "more.py").write_text("junk")
    x, y, z = (pack_digest(find_packs([tmp_path / name], PackSettings())[0]) for name in "xyz")
    assert x == y
    assert x != z


def test_editing_a_built_in_module_changes_its_version_and_those_built_on_it_only(tmp_path):
    (tmp_path / "base.py").write_text("x = 1")
    (tmp_path / "user.py").write_text("from nodes.base import x")
    (tmp_path / "far.py").write_text("import nodes.user")
    (tmp_path / "package.py").write_text("from nodes import base")
    (tmp_path / "brackets.py").write_text("from nodes import (\n    other,\n    base,\n)\n")
    (tmp_path / "other.py").write_text("y = 1")

    def versions(engine="e"):
        return builtin_versions(find_builtin_modules(tmp_path), engine)

    before = versions()
    (tmp_path / "base.py").write_text("x = 2")
    after = versions()
    assert {name for name in before if before[name] != after[name]} == {
        "nodes.base", "nodes.user", "nodes.far", "nodes.package", "nodes.brackets",
    }  # fmt: skip
    assert all(versions("e2")[name] != after[name] for name in after)


def test_modules_that_import_each_other_have_versions(tmp_path):
    (tmp_path / "a.py").write_text("from nodes import b\nimport nodes.b")
    (tmp_path / "b.py").write_text("import nodes.a")
    assert set(builtin_versions(find_builtin_modules(tmp_path), "e")) == {"nodes.a", "nodes.b"}
