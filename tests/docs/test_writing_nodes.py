"""Every sample of docs/writing-nodes.md is a pack that loads, and its nodes do what the page says."""

import asyncio
import re
import sys
from pathlib import Path

import pytest
import torch

from engine.api import Blocker, NodeError
from engine.core.settings import PackSettings
from engine.worker.pack_loader import load_packs
from engine.worker.pack_sources import find_packs

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "docs" / "writing-nodes.md").read_text(), re.MULTILINE | re.DOTALL
)


class Recorder:
    """A context that notes what a node does with it."""

    node_id, call_index = "7", 0

    def __init__(self):
        self.progress_values, self.files, self.warnings = [], [], []

    def progress(self, value, maximum, preview=None):
        self.progress_values.append((value, maximum))

    def save_file(self, data, **facts):
        self.files.append((data, facts))

    def warn(self, message):
        self.warnings.append(message)


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    """All functions of the page's samples by node name, loaded as packs."""
    root = tmp_path_factory.mktemp("packs")
    for number, sample in enumerate(SAMPLES):
        (root / f"docs_sample_{number}.py").write_text(sample)
    definitions = {}
    reports = load_packs([(source, "v") for source in find_packs([root], PackSettings())], None, definitions)
    assert [(report.name, report.error) for report in reports if report.error or report.warnings] == []
    yield {name: definition.function for name, definition in definitions.items()}
    for name in [name for name in sys.modules if name.startswith("custom_nodes.docs_sample")]:
        del sys.modules[name]


def test_every_sample_declares_a_node(functions):
    declared = [name for sample in SAMPLES for name in re.findall(r'@node\("(\w+)"', sample)]
    assert all('@node("Docs' in sample for sample in SAMPLES)
    assert sorted(functions) == sorted(declared)


def test_every_sample_is_linted_like_the_rest():
    import subprocess

    for sample in SAMPLES:
        command = [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "-q",
            "--config",
            str(ROOT / "pyproject.toml"),
            "--ignore",
            "D",
            "-",
        ]
        result = subprocess.run(command, input=sample, text=True, capture_output=True)
        assert result.returncode == 0, result.stdout


def test_invert_leaves_its_input_and_alpha_alone(functions):
    image = torch.full((1, 2, 2, 4), 0.25)
    inverted = functions["DocsInvert"](image)
    assert inverted[0, 0, 0].tolist() == [0.75, 0.75, 0.75, 0.25]
    assert image.unique().tolist() == [0.25]


def test_inputs_have_the_widgets_the_page_promises(functions):
    spec = functions["DocsInputs"].__node__.spec
    inputs = {item.name: item for item in spec.inputs}
    assert inputs["width"].options["max"] == 16384
    assert inputs["opacity"].options["tooltip"] == "0 is invisible"
    assert inputs["words"].options == {"default": "", "multiline": True, "dynamicPrompts": True}
    assert inputs["mode"].choices == ("fast", "careful")
    assert inputs["anything"].is_wildcard
    assert {name for name, item in inputs.items() if item.presence == "optional"} == {"anything", "image"}
    assert functions["DocsInputs"](words="hi", is_loud=True) == ("FAST HI 1.00", 512)


def test_split_and_join_are_opposites(functions):
    words, count = functions["DocsSplit"]("one two")
    assert (words, count) == (["one", "two"], 2)
    assert functions["DocsJoin"](words) == "one two"
    assert functions["DocsJoin"].__node__.spec.is_input_list


def test_the_blur_reports_every_round(functions):
    context = Recorder()
    functions["DocsSlowBlur"](context, torch.rand(1, 4, 4, 3), 3)
    assert context.progress_values == [(1, 3), (2, 3), (3, 3)]


def test_the_gif_is_one(functions):
    context = Recorder()
    result = functions["DocsSaveGif"](context, torch.rand(2, 4, 6, 3))
    ((data, facts),) = context.files
    assert data[:4] == b"GIF8"
    assert (facts["width_px"], facts["height_px"], facts["extension"]) == (6, 4, "gif")
    assert result.ui == {"animated": [True]}


def test_divide_refuses_and_validates(functions):
    assert functions["DocsDivide"](6, 3) == 2
    with pytest.raises(NodeError, match="7 cannot be divided by 2"):
        functions["DocsDivide"](7, 2)
    validate = functions["DocsDivide"].__node__.validate
    assert (validate(0), validate(2), validate(None)) == ("must not be zero", True, True)
    assert functions["DocsGate"](5, is_open=False) == Blocker(None)


def test_the_switch_asks_for_one_branch(functions):
    lazy = functions["DocsSwitch"].__node__.lazy
    assert lazy(use_first=True) == ["first"]
    assert lazy(use_first=False, second=1) == []
    assert asyncio.run(functions["DocsWait"]("done")) == "done"


def test_the_date_is_its_own_fingerprint(functions):
    assert functions["DocsToday"]() == functions["DocsToday"].__node__.fingerprint()


def test_the_expansion_uses_a_node_that_exists(functions):
    result = functions["DocsTwice"](Recorder(), "a")
    ((new, record),) = result.expand.nodes.items()
    assert result.values == ([new, 0],)
    packs = ROOT / "nodes" / "strings.py"
    assert f'"{record["class_type"]}"' in packs.read_text()


def test_the_example_pack_works():
    sys.path.insert(0, str(ROOT / "custom_nodes"))
    try:
        from example_pack import save_text, split_by_brightness, tint_image
    finally:
        sys.path.remove(str(ROOT / "custom_nodes"))
    image = torch.ones(2, 2, 2, 3)
    image[1] = 0.0
    assert tint_image(image, "#ff0000", 1.0)[0, 0, 0].tolist() == [1.0, 0.0, 0.0]
    with pytest.raises(NodeError, match="'red' is not a colour"):
        tint_image(image, "red")
    mask, brightness = split_by_brightness(Recorder(), image, 0.5)
    assert (mask.mean(dim=(1, 2)).tolist(), round(brightness, 3)) == ([1.0, 0.0], 0.5)
    context = Recorder()
    assert save_text(context, " \n").ui == {"text": [" "]}
    assert context.warnings == ["The text is empty."]
    assert context.files[0][0] == b" \n"
