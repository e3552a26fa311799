"""Configurations: merging, overrides, strict resolution."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from engine.training.config.error import ConfigError
from engine.training.config.merge import apply_override, merge, read_config
from engine.training.config.resolve import resolve, to_plain


@dataclass(frozen=True, slots=True)
class Square:
    kind: Literal["square"]
    edge: float


@dataclass(frozen=True, slots=True)
class Circle:
    kind: Literal["circle"]
    radius: float = 1.0
    fill: str | None = None


@dataclass(frozen=True, slots=True)
class Drawing:
    shapes: tuple[Square | Circle, ...]
    size: tuple[int, int] = (4, 3)
    dtype: Literal["fp32", "bf16"] = "fp32"
    devices: int | Literal["auto"] = "auto"
    file: Path | None = None
    is_open: bool = False

    def __post_init__(self) -> None:
        if self.size[0] < 1:
            raise ValueError("a drawing is at least 1 wide")


SQUARE = {"kind": "square", "edge": 2}


def test_files_merge_left_to_right_and_overrides_come_last(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: {b: 1, c: 2}\nl: [1, 2]\n")
    (tmp_path / "b.yaml").write_text("a: {c: 3, d: {e: 4e-4}}\nl: [5]\n")
    config = read_config([tmp_path / "a.yaml", tmp_path / "b.yaml"], ["a.d.e=5e-5", "l.0=7", "new.key=[x, y]"])
    assert config == {"a": {"b": 1, "c": 3, "d": {"e": 5e-5}}, "l": [7], "new": {"key": ["x", "y"]}}


def test_null_removes_a_key_or_an_item() -> None:
    assert merge({"a": 1, "b": {"c": 2, "d": 3}}, {"a": None, "b": {"c": None}}) == {"b": {"d": 3}}
    assert apply_override({"l": [1, 2, 3]}, "l.1=null") == {"l": [1, 3]}


def test_another_kind_replaces_the_whole_mapping() -> None:
    assert merge({"s": dict(SQUARE)}, {"s": {"kind": "circle"}}) == {"s": {"kind": "circle"}}
    assert apply_override({"s": dict(SQUARE)}, "s.kind=circle") == {"s": {"kind": "circle"}}
    assert merge({"s": dict(SQUARE)}, {"s": {"kind": "square"}}) == {"s": SQUARE}


def test_numbers_and_words_are_read_as_yaml_1_2_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("rate: 1e-4\nword: no\nflag: true\ntext: on\nint: -3\nempty:\n")
    assert read_config([tmp_path / "a.yaml"]) == {"rate": 1e-4, "word": "no", "flag": True, "text": "on", "int": -3}


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "- a\n", "a: [\n", "7\n"])
def test_a_file_that_is_no_mapping_of_distinct_names_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.yaml"):
        read_config([tmp_path / "a.yaml"])


@pytest.mark.parametrize("override", ["a", "=1", "a..b=1", "l.5=1", "l.x=1", "n.sub=1", "a=["])
def test_an_override_that_names_no_place_is_refused(override: str) -> None:
    with pytest.raises(ConfigError):
        apply_override({"l": [1], "n": 3}, override)


def test_resolved_dataclasses_hold_the_values_in_their_types() -> None:
    drawing = resolve(Drawing, {"shapes": [SQUARE, {"kind": "circle"}], "size": [8, 2], "devices": 2, "file": "x/y"})
    assert drawing == Drawing((Square("square", 2.0), Circle("circle")), (8, 2), "fp32", 2, Path("x/y"))
    assert type(drawing.shapes[0].edge) is float


@dataclass(frozen=True, slots=True)
class Usual:
    kind: Literal["usual"] = "usual"
    size: int = 1


@dataclass(frozen=True, slots=True)
class Chooser:
    one: Usual | Square


def test_a_kind_may_be_left_out_where_just_one_is_usual() -> None:
    assert resolve(Chooser, {"one": {"size": 3}}) == Chooser(Usual(size=3))


def test_what_is_written_out_resolves_to_the_same() -> None:
    drawing = resolve(Drawing, {"shapes": [SQUARE, {"kind": "circle", "fill": "red"}], "file": "x"})
    assert resolve(Drawing, to_plain(drawing)) == drawing


@pytest.mark.parametrize(
    ("data", "words", "hint"),
    [
        ({"shapes": [], "dtipe": "fp32"}, "dtipe is not a known key", "dtype"),
        ({"shapes": [{"kind": "square", "edgee": 1}]}, r"shapes\.0\.edgee is not a known key", "edge"),
        ({}, "shapes is missing", "list"),
        ({"shapes": [{"edge": 1}]}, r"shapes\.0\.kind is missing", "circle, square"),
        ({"shapes": [{"kind": "sqare"}]}, r"shapes\.0\.kind is 'sqare'", "square"),
        ({"shapes": [{"kind": "square", "edge": "2"}]}, r"shapes\.0\.edge is '2' \(str\); wanted: a number", ""),
        ({"shapes": 3}, r"shapes is 3 \(int\); wanted: a list", ""),
        ({"shapes": [], "size": [1]}, "wanted: a list of 2: an integer, an integer", ""),
        ({"shapes": [], "size": [1, True]}, r"size\.1 is True \(bool\); wanted: an integer", ""),
        ({"shapes": [], "dtype": "fp8"}, "wanted: one of 'fp32', 'bf16'", ""),
        ({"shapes": [], "devices": "all"}, "wanted: an integer or one of 'auto'", ""),
        ({"shapes": [], "is_open": 1}, "wanted: true or false", ""),
        ({"shapes": [], "size": [0, 1]}, "at least 1 wide", ""),
        ({"shapes": ["x"]}, r"shapes\.0 is 'x'", ""),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place_and_what_was_wanted(data: dict, words: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        resolve(Drawing, data)
    assert hint in caught.value.hint
