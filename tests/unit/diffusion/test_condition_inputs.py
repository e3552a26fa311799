from __future__ import annotations

import pytest
import torch

from engine.diffusion.condition_inputs import ConditionInputs, can_share_context, merge_inputs


def test_contexts_of_different_length_are_repeated_to_one_length() -> None:
    short, long = torch.randn(1, 2, 3), torch.randn(1, 6, 3)
    merged = merge_inputs([ConditionInputs(short), ConditionInputs(long)], [2, 1])
    assert merged.context.shape == (3, 6, 3)
    assert torch.equal(merged.context[0], short[0].repeat(3, 1))
    assert torch.equal(merged.context[2], long[0])


def test_attention_over_a_repeated_context_is_attention_over_the_context() -> None:
    queries, context = torch.randn(1, 1, 5, 8), torch.randn(1, 1, 7, 8)
    attend = torch.nn.functional.scaled_dot_product_attention
    repeated = context.repeat(1, 1, 3, 1)
    assert torch.allclose(attend(queries, repeated, repeated), attend(queries, context, context), atol=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (77, 77, True),
        (77, 154, True),
        (77, 231, True),
        (154, 231, True),
        (77, 308, True),
        (77, 385, False),
        (77, 0, False),
        (0, 0, True),
    ],
)
def test_contexts_share_a_forward_when_no_one_is_repeated_more_than_four_times(
    first: int, second: int, shared: bool
) -> None:
    assert can_share_context(first, second) is shared


def test_inputs_without_a_part_have_another_shape_class_than_inputs_with_it() -> None:
    context = torch.zeros(1, 7, 4)
    plain, with_vector = ConditionInputs(context), ConditionInputs(context, vector=torch.zeros(1, 5))
    assert plain.shape_class != with_vector.shape_class
    assert plain.shape_class == ConditionInputs(torch.zeros(1, 9, 4)).shape_class


def test_inputs_with_options_of_their_own_share_with_nobody() -> None:
    context = torch.zeros(1, 7, 4)
    assert ConditionInputs(context, options={"a": 1}).shape_class != ConditionInputs(context).shape_class


def test_shared_rows_are_expanded_and_own_rows_are_kept() -> None:
    own, shared = torch.randn(2, 5), torch.randn(1, 5)
    merged = merge_inputs([ConditionInputs(vector=own), ConditionInputs(vector=shared)], [2, 3])
    assert torch.equal(merged.vector, torch.cat([own, shared.expand(3, 5)]))


def test_rows_of_inputs_are_the_rows_of_their_tensors() -> None:
    inputs = ConditionInputs(torch.zeros(1, 7, 4), torch.arange(6.0).view(3, 2), torch.arange(3.0).view(3, 1, 1, 1))
    part = inputs.rows(1, 3)
    assert part.context is inputs.context
    assert torch.equal(part.vector, inputs.vector[1:])
    assert torch.equal(part.concat, inputs.concat[1:])


def test_a_window_crops_only_what_has_a_place_in_the_picture() -> None:
    concat = torch.arange(16.0).view(1, 1, 4, 4)
    inputs = ConditionInputs(torch.zeros(1, 7, 4), concat=concat).crop(1, 2, 2, 2)
    assert torch.equal(inputs.concat, concat[..., 1:3, 2:4])
    assert inputs.context.shape == (1, 7, 4)
