"""How a saved picture was made, read off its prompt, and the plain text many programs write and read about it.

The text is that of the Stable Diffusion web interfaces: the prompt, `Negative prompt: …`, then one line of settings.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Generation", "describe_generation", "parameters_text"]

_SAMPLER_NAMES = {
    "euler": "Euler", "euler_ancestral": "Euler a", "heun": "Heun", "lms": "LMS", "dpm_2": "DPM2",
    "dpm_2_ancestral": "DPM2 a", "dpm_fast": "DPM fast", "dpm_adaptive": "DPM adaptive", "ddim": "DDIM", "lcm": "LCM",
    "dpmpp_2s_ancestral": "DPM++ 2S a", "dpmpp_2m": "DPM++ 2M", "dpmpp_sde": "DPM++ SDE", "uni_pc": "UniPC",
    "dpmpp_2m_sde": "DPM++ 2M SDE", "dpmpp_2m_sde_heun": "DPM++ 2M SDE Heun", "dpmpp_3m_sde": "DPM++ 3M SDE",
}  # fmt: skip
_SCHEDULE_NAMES = {
    "normal": "Normal", "karras": "Karras", "exponential": "Exponential", "sgm_uniform": "SGM Uniform",
    "simple": "Simple", "ddim_uniform": "DDIM", "beta": "Beta", "kl_optimal": "KL Optimal",
}  # fmt: skip
"""Names of the same things in the programs the text comes from; others keep their own."""

_SAMPLERS = frozenset({"KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced"})
_MODEL_INPUTS = {"ckpt_name": "checkpoints", "unet_name": "diffusion_models"}
_TEXT_INPUTS = ("text", "text_g", "text_l", "clip_l", "clip_g", "t5xxl")
_CONDITIONING_INPUTS = (
    "conditioning", "conditioning_to", "conditioning_from", "conditioning_1", "conditioning_2",
    "positive", "cond1", "cond2", "cond", "cond_NEW", "cond_DEFAULT",
)  # fmt: skip
_PASSING_ON = ("value", "string", "text", "seed", "noise_seed", "int", "float")
"""Inputs of nodes that give on what is typed into them."""

_MAX_STEPS = 20_000


@dataclass(frozen=True, slots=True)
class Generation:
    """What is known of a sampler's run; None for what the prompt does not say.

    model: (folder key, file name). adapters: (file name, strength) in the order they were applied.
    """

    positive: str = ""
    negative: str = ""
    steps: int | None = None
    sampler: str | None = None
    schedule: str | None = None
    scale: float | None = None
    seed: int | None = None
    denoise: float | None = None
    model: tuple[str, str] | None = None
    adapters: tuple[tuple[str, float], ...] = ()


def describe_generation(prompt: Any, node_id: str) -> Generation | None:
    """What made the pictures that reach a node: the nearest sampler upstream of it, and what that one was given.

    Args:
        prompt: a prompt (API JSON), not necessarily sound.
        node_id: the node that saves.

    Returns None when there is no sampler, or no such prompt.
    """
    nodes = _Nodes(prompt if isinstance(prompt, Mapping) else {})
    sampler = next((found for found in nodes.upstream([node_id]) if nodes.kind(found) in _SAMPLERS), None)
    if sampler is None:
        return None
    guider = nodes.source(sampler, "guider") or sampler
    levels = nodes.source(sampler, "sigmas") or sampler
    method = nodes.source(sampler, "sampler")
    noise = nodes.source(sampler, "noise") or sampler
    model, adapters = _model_of(nodes, guider)
    return Generation(
        positive=nodes.text(guider, ("positive", "conditioning", "cond1")),
        negative=nodes.text(guider, ("negative",)),
        steps=_number(nodes.value(levels, "steps"), int),
        sampler=_word(nodes.value(method or sampler, "sampler_name")) or (method and nodes.kind(method)),
        schedule=_word(nodes.value(levels, "scheduler")) or (None if levels == sampler else nodes.kind(levels)),
        scale=_number(nodes.value(guider, "cfg"), float),
        seed=_number(nodes.value(noise, "noise_seed", "seed"), int),
        denoise=_number(nodes.value(levels, "denoise"), float),
        model=model,
        adapters=adapters,
    )


def parameters_text(made: Generation, width_px: int, height_px: int, model_hash: str | None = None) -> str:
    """The text about a picture of that size; `model_hash`: SHA-256 of the weight file, of which ten digits are told."""
    words = [made.positive.strip(), *(f"<lora:{_stem(name)}:{strength:g}>" for name, strength in made.adapters)]
    stem = None if made.model is None else _stem(made.model[1])
    facts = {
        "Steps": made.steps,
        "Sampler": _SAMPLER_NAMES.get(made.sampler or "", made.sampler),
        "Schedule type": _SCHEDULE_NAMES.get(made.schedule or "", made.schedule),
        "CFG scale": None if made.scale is None else f"{made.scale:g}",
        "Seed": made.seed,
        "Size": f"{width_px}x{height_px}",
        "Model hash": None if model_hash is None else model_hash[:10],
        "Model": stem,
        "Denoising strength": f"{made.denoise:g}" if made.denoise is not None and made.denoise < 1 else None,
        "Version": "Atelier",
    }
    lines = [" ".join(word for word in words if word)]
    if made.negative.strip():
        lines.append(f"Negative prompt: {made.negative.strip()}")
    lines.append(", ".join(f"{name}: {_quoted(str(fact))}" for name, fact in facts.items() if fact is not None))
    return "\n".join(lines)


class _Nodes:
    """The nodes of a prompt, asked without trust in their form. No recursion: prompts can be deep, and cyclic."""

    def __init__(self, prompt: Mapping[str, Any]) -> None:
        self._prompt = prompt

    def kind(self, node_id: str) -> str:
        """The class of a node."""
        node = self._prompt.get(node_id)
        return str(node.get("class_type", "")) if isinstance(node, Mapping) else ""

    def inputs(self, node_id: str) -> Mapping[str, Any]:
        """The inputs of a node."""
        node = self._prompt.get(node_id)
        inputs = node.get("inputs") if isinstance(node, Mapping) else None
        return inputs if isinstance(inputs, Mapping) else {}

    def source(self, node_id: str, name: str) -> str | None:
        """The node an input is linked to."""
        return _linked(self.inputs(node_id).get(name))

    def upstream(self, starts: list[str], prefix: str = "") -> Iterator[str]:
        """Nodes from `starts` on against the links, nearest first; inputs of other names than the prefix's are left."""
        waiting, seen = deque(starts), set(starts)
        while waiting and len(seen) < _MAX_STEPS:
            node_id = waiting.popleft()
            yield node_id
            for name, value in self.inputs(node_id).items():
                source = _linked(value)
                if source is not None and source not in seen and name.startswith(prefix):
                    seen.add(source)
                    waiting.append(source)

    def value(self, node_id: str, *names: str) -> Any:
        """The first of these inputs that has a value, typed in here or into a node that only gives it on."""
        for name in names:
            found, seen = self.inputs(node_id).get(name), set()
            while (source := _linked(found)) is not None and source not in seen:
                seen.add(source)
                typed = self.inputs(source)
                found = next((typed[key] for key in _PASSING_ON if key in typed), None)
            if found is not None and _linked(found) is None:
                return found
        return None

    def text(self, node_id: str, names: tuple[str, ...]) -> str:
        """The words behind the first of these inputs that is linked; those of several encoders joined by AND."""
        start = next((value for name in names if _linked(value := self.inputs(node_id).get(name))), None)
        waiting, seen, found = [start] if start is not None else [], set(), []
        while waiting:
            link = waiting.pop()
            source, slot = _linked(link), link[1]
            if source is None or (source, slot) in seen or self.kind(source) == "ConditioningZeroOut":
                continue
            seen.add((source, slot))
            words = [self.value(source, name) for name in _TEXT_INPUTS]
            told = list(dict.fromkeys(word for word in words if isinstance(word, str)))
            if told:
                found.append(" ".join(told))
                continue
            inputs = self.inputs(source)
            both = "positive" in inputs and "negative" in inputs
            follow = (("positive", "negative")[min(slot, 1)],) if both else _CONDITIONING_INPUTS
            waiting += [inputs[name] for name in reversed(follow) if _linked(inputs.get(name))]
        return " AND ".join(dict.fromkeys(found))


def _model_of(nodes: _Nodes, guider: str) -> tuple[tuple[str, str] | None, tuple[tuple[str, float], ...]]:
    """The weight file of a sampler or guider and the adapters between."""
    adapters: list[tuple[str, float]] = []
    start = nodes.source(guider, "model")
    for node_id in nodes.upstream([start] if start else [], "model"):
        for name, folder in _MODEL_INPUTS.items():
            file = nodes.value(node_id, name)
            if isinstance(file, str):
                return (folder, file), tuple(reversed(adapters))
        adapter, strength = nodes.value(node_id, "lora_name"), _number(nodes.value(node_id, "strength_model"), float)
        if isinstance(adapter, str) and strength:
            adapters.append((adapter, strength))
    return None, tuple(reversed(adapters))


def _linked(value: Any) -> str | None:
    """The node a link `[id, slot]` names; None for anything else."""
    is_link = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int
    return value[0] if is_link and value[1] >= 0 else None


def _number(value: Any, kind: Callable[[Any], Any]) -> Any:
    return kind(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _stem(name: str) -> str:
    file = name.replace("\\", "/").rpartition("/")[2]
    return file.rpartition(".")[0] or file


def _quoted(text: str) -> str:
    """As the line's readers want it: in JSON quotes where it has the characters that part facts."""
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ",:\n") else text
