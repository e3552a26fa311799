"""How large a value may become."""

from __future__ import annotations

import pytest

from engine.api import MAX_TEXT_CHARACTERS, NodeError, require_room, require_text_room

GIB = 1 << 30


def test_a_value_may_take_half_of_the_memory_and_not_a_byte_more() -> None:
    assert require_room((2, GIB // 8), "amount", memory_bytes=2 * GIB) == (2, GIB // 8)
    with pytest.raises(NodeError) as caught:
        require_room((2, GIB // 8 + 1), "amount", memory_bytes=2 * GIB)
    assert caught.value.code == "result_too_large"
    assert caught.value.input == "amount"
    assert caught.value.details == {
        "shape": [2, GIB // 8 + 1],
        "wanted_bytes": GIB + 8,
        "allowed_bytes": GIB,
    }


def test_the_refusal_says_how_much_was_asked_for_and_what_to_do() -> None:
    with pytest.raises(NodeError) as caught:
        require_room((4096, 16384, 16384, 3), "batch_size", memory_bytes=16 * GIB)
    assert "4096×16384×16384×3" in caught.value.message
    assert "12 TiB" in caught.value.message
    assert "8 GiB" in caught.value.message
    assert "Lower batch_size" in caught.value.hint


def test_the_memory_of_this_machine_counts_when_none_is_given() -> None:
    assert require_room((1, 512, 512, 3), "width") == (1, 512, 512, 3)
    with pytest.raises(NodeError, match="on this machine"):
        require_room((1 << 40,), "width")


def test_sizes_beyond_every_unit_are_still_said() -> None:
    with pytest.raises(NodeError, match="PiB"):
        require_room((1 << 60, 1 << 60), "width")


def test_a_text_may_have_exactly_the_limit() -> None:
    require_text_room(MAX_TEXT_CHARACTERS, "string")
    with pytest.raises(NodeError) as caught:
        require_text_room(MAX_TEXT_CHARACTERS + 1, "string")
    assert (caught.value.code, caught.value.input) == ("text_too_long", "string")
