"""What made a picture, read off its prompt, and the plain text about it."""

from __future__ import annotations

import pytest

from engine.graph.generation import Generation, describe_generation, parameters_text

SIMPLE = {
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd/v1-5.safetensors"}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox, in snow", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0],
            "seed": 42, "steps": 20, "cfg": 7.0, "sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1.0,
        },
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "x"}},
}  # fmt: skip


def changed(**nodes: dict) -> dict:
    """SIMPLE with inputs of some nodes changed; a node named with its class is new."""
    made = {key: {**node, "inputs": dict(node["inputs"])} for key, node in SIMPLE.items()}
    for key, inputs in nodes.items():
        kind = inputs.pop("class_type", None)
        node = made.setdefault(key.lstrip("n"), {"class_type": kind, "inputs": {}})
        node["class_type"] = kind or node["class_type"]
        node["inputs"].update(inputs)
    return made


def test_the_text_has_the_form_that_other_programs_write() -> None:
    made = describe_generation(SIMPLE, "9")
    assert parameters_text(made, 512, 768, "0123456789abcdef").splitlines() == [
        "a fox, in snow",
        "Negative prompt: blurry",
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 42, Size: 512x768, "
        "Model hash: 0123456789, Model: v1-5, Version: Atelier",
    ]


def test_what_is_unknown_is_left_out_and_what_would_part_facts_is_quoted() -> None:
    made = Generation("a cat", steps=4, model=("checkpoints", "a, b.ckpt"), denoise=0.5)
    assert parameters_text(made, 64, 64) == (
        'a cat\nSteps: 4, Size: 64x64, Model: "a, b", Denoising strength: 0.5, Version: Atelier'
    )


def test_seeds_and_texts_may_be_typed_into_nodes_that_give_them_on() -> None:
    prompt = changed(
        n1={"class_type": "PrimitiveInt", "value": 9}, n3={"seed": ["1", 0]},
        n2={"class_type": "PrimitiveString", "value": "a boat"}, n6={"text": ["2", 0]},
    )  # fmt: skip
    made = describe_generation(prompt, "9")
    assert (made.seed, made.positive) == (9, "a boat")


def test_adapters_are_named_in_the_prompt_in_the_order_they_were_applied() -> None:
    prompt = changed(
        n10={"class_type": "LoraLoader", "model": ["4", 0], "lora_name": "a.safetensors", "strength_model": 0.8},
        n11={"class_type": "LoraLoaderModelOnly", "model": ["10", 0], "lora_name": "b.pt", "strength_model": 1},
        n3={"model": ["11", 0]},
    )
    made = describe_generation(prompt, "9")
    assert made.model == ("checkpoints", "sd/v1-5.safetensors")
    assert parameters_text(made, 8, 8).splitlines()[0] == "a fox, in snow <lora:a:0.8> <lora:b:1>"


def test_conditioning_is_followed_by_side_through_controls_and_joined_where_it_is_combined() -> None:
    prompt = changed(
        n20={"class_type": "ControlNetApplyAdvanced", "positive": ["21", 0], "negative": ["7", 0]},
        n21={"class_type": "ConditioningCombine", "conditioning_1": ["6", 0], "conditioning_2": ["22", 0]},
        n22={"class_type": "CLIPTextEncodeSDXL", "text_g": "a hut", "text_l": "a hut"},
        n3={"positive": ["20", 0], "negative": ["20", 1]},
    )
    made = describe_generation(prompt, "9")
    assert (made.positive, made.negative) == ("a fox, in snow AND a hut", "blurry")


def test_a_zeroed_conditioning_has_no_words() -> None:
    prompt = changed(n7={"class_type": "ConditioningZeroOut", "conditioning": ["6", 0]})
    prompt["7"]["inputs"].pop("text")
    assert "Negative" not in parameters_text(describe_generation(prompt, "9"), 8, 8)


def test_custom_sampling_is_read_off_its_parts() -> None:
    prompt = {
        **SIMPLE,
        "3": {
            "class_type": "SamplerCustomAdvanced",
            "inputs": {"noise": ["30", 0], "guider": ["31", 0], "sampler": ["32", 0], "sigmas": ["33", 0]},
        },
        "30": {"class_type": "RandomNoise", "inputs": {"noise_seed": 5}},
        "31": {
            "class_type": "CFGGuider",
            "inputs": {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "cfg": 3.5},
        },
        "32": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
        "33": {"class_type": "BasicScheduler", "inputs": {"scheduler": "simple", "steps": 8, "denoise": 0.6}},
    }
    wanted = Generation(
        "a fox, in snow", "blurry", 8, "euler", "simple", 3.5, 5, 0.6, ("checkpoints", "sd/v1-5.safetensors")
    )
    assert describe_generation(prompt, "9") == wanted


def test_of_two_samplers_the_nearer_one_counts() -> None:
    prompt = changed(n40={**SIMPLE["3"]["inputs"], "class_type": "KSampler", "latent_image": ["3", 0], "steps": 7})
    prompt["8"]["inputs"]["samples"] = ["40", 0]
    assert describe_generation(prompt, "9").steps == 7


@pytest.mark.parametrize(
    "prompt",
    [
        None,
        [],
        {},
        {"9": 1},
        {"9": {"inputs": {"images": ["9", 0]}}},
        {"9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}},
    ],
)
def test_without_a_sampler_there_is_nothing_to_tell(prompt: object) -> None:
    assert describe_generation(prompt, "9") is None


def test_a_deep_and_cyclic_prompt_is_followed_without_recursion() -> None:
    prompt = changed()
    for number in range(100, 5000):
        prompt[str(number)] = {"class_type": "ConditioningSetArea", "inputs": {"conditioning": [str(number + 1), 0]}}
    prompt["4999"]["inputs"]["conditioning"] = ["100", 0]
    prompt["3"]["inputs"]["positive"] = ["100", 0]
    assert describe_generation(prompt, "9").positive == ""
