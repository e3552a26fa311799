"""Imports names that are not emulated in every way packs do; only some of its nodes need them."""

import contextlib
import importlib

import comfy.ldm.modules.attention
import comfy.model_patcher
import comfy.samplers
import comfy.sd
from comfy.ldm.modules.attention import optimized_attention
from comfy.utils import unet_to_diffusers
from nodes import common_ksampler

try:
    from comfy.ldm.common_dit import rms_norm
except ImportError:
    rms_norm = None

try:
    newer = importlib.import_module("comfy.a_newer_module")
except Exception:
    newer = None

with contextlib.suppress(ImportError):
    from comfy_extras.nodes_newer import Newer  # noqa: F401

HAS_FLUX = hasattr(comfy.samplers, "no_such_name")


class Guider(comfy.samplers.CFGGuider):
    def predict_noise(self, x: comfy.model_patcher.ModelPatcher | None) -> optimized_attention:
        return x


class Needs:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"which": (["attention", "member", "sampler", "subclass"],)}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "samples"

    def run(self, which):
        if which == "attention":
            return (optimized_attention(1, 2, 3),)
        if which == "member":
            return (comfy.sd.load_lora_for_models(None, None),)
        if which == "sampler":
            return (common_ksampler(None),)
        return (Guider(None),)


class NeedsNothing:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "samples"

    def run(self):
        return (f"{rms_norm} {newer} {HAS_FLUX} {isinstance(1, comfy.model_patcher.ModelPatcher)}",)


NODE_CLASS_MAPPINGS = {
    "SampleNeeds": Needs,
    "SampleNeedsNothing": NeedsNothing,
    "SampleForeign": unet_to_diffusers,
}
