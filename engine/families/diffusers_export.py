"""A model as a folder that diffusers opens: parts by its names, each with its configuration, and tokenizers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from engine.core.errors import CheckpointError
from engine.diffusion.prediction import EpsPrediction, VPrediction
from engine.families.adapters.unet_names import diffusers_module, diffusers_places
from engine.families.autoencoder.diffusers_names import diffusers_tensors
from engine.families.autoencoder.forms import KlForm
from engine.families.autoencoder.handle import NetworkAutoencoder
from engine.families.denoiser import NetworkDenoiser
from engine.families.text.clip_encoder import ClipTextEncoder
from engine.families.text.clip_pair import ClipPair
from engine.families.unet.form import UNetForm
from engine.families.unet.latents import thousand_steps
from engine.families.unet.marks import ZERO_TERMINAL_MARK, prediction_marks
from engine.families.unet.vector import NUMBER_WIDTH
from engine.nn.unet import UNetConfig
from engine.weights.weight_file import WeightFile, file_tensors

__all__ = ["DiffusersExport", "diffusers_export"]

_WEIGHTS, _TEXT_WEIGHTS = "diffusion_pytorch_model.safetensors", "model.safetensors"
_PIPELINES = {
    "sd1": "StableDiffusionPipeline",
    "sd2": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "sdxl_refiner": "StableDiffusionXLImg2ImgPipeline",
}
_TOKENS = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}


@dataclass(frozen=True, slots=True)
class DiffusersExport:
    """Files of a folder by their path in it: weights, and texts."""

    weights: Mapping[str, WeightFile]
    texts: Mapping[str, str]

    def with_dtype(self, dtype: torch.dtype) -> DiffusersExport:
        """The same folder with all weights in this dtype."""
        return replace(self, weights={path: file.with_dtype(dtype) for path, file in self.weights.items()})

    def write(self, folder: Path, on_tensor: Callable[[int, int], None] | None = None) -> None:
        """Write all files; folders are made. `on_tensor`: called with how many are done, and of how many."""
        total, before = sum(len(file.tensors) for file in self.weights.values()), 0
        for name, text in self.texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for name, file in self.weights.items():

            def show(done: int, _: int, start: int = before) -> None:
                if on_tensor is not None:
                    on_tensor(start + done, total)

            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            file.write(folder / name, show)
            before += len(file.tensors)


def diffusers_export(model: Any, clip: Any, vae: Any) -> DiffusersExport:
    """The folder of these handles; clip and vae may be None.

    Raises CheckpointError for what diffusers' configurations cannot say: pruned networks, continuous noise levels,
    other autoencoders than the usual.
    """
    if not isinstance(model, NetworkDenoiser) or not isinstance(model.form, UNetForm) or model.family not in _PIPELINES:
        raise _cannot("This model has no form in diffusers")
    config = model.form.config
    weights = {f"unet/{_WEIGHTS}": WeightFile(_network_tensors(model, config))}
    texts = {
        "unet/config.json": _json(_network_config(config)),
        "scheduler/scheduler_config.json": _json(_scheduler_config(model)),
    }
    index: dict[str, Any] = {
        "_class_name": _PIPELINES[model.family],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    if model.family in ("sd1", "sd2"):
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
    if model.family == "sdxl_refiner":
        index |= {"text_encoder": [None, None], "tokenizer": [None, None], "requires_aesthetics_score": True}
    for place, encoder in _places(clip, model.family).items():
        number = place.removeprefix("text_encoder")
        cut = _as_used(encoder)
        has_projection = encoder.config.projection_width is not None and model.family in ("sdxl", "sdxl_refiner")
        names = [name for name in encoder.weights.specs if _is_used(name, cut, has_projection)]
        weights[f"{place}/{_TEXT_WEIGHTS}"] = WeightFile(file_tensors(encoder.weights, names=names), {"format": "pt"})
        kind = "CLIPTextModelWithProjection" if has_projection else "CLIPTextModel"
        texts[f"{place}/config.json"] = _json(_text_config(encoder, cut, kind))
        texts |= {f"tokenizer{number}/{name}": text for name, text in _tokenizer_files(encoder).items()}
        index |= {place: ["transformers", kind], f"tokenizer{number}": ["transformers", "CLIPTokenizer"]}
    if vae is not None:
        kl = _usual(vae)
        tensors = diffusers_tensors(file_tensors(vae.weights), len(kl.config.channel_mult))
        weights[f"vae/{_WEIGHTS}"] = WeightFile(tensors)
        texts["vae/config.json"] = _json(_autoencoder_config(kl, model))
        index["vae"] = ["diffusers", "AutoencoderKL"]
    return DiffusersExport(weights, {**texts, "model_index.json": _json(index)})


def _cannot(what: str) -> CheckpointError:
    return CheckpointError(f"{what}.", code="cannot_save", hint="Write a single safetensors file instead.")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


def _network_tensors(model: NetworkDenoiser, config: UNetConfig) -> dict[str, Any]:
    places = diffusers_places(config)
    found = {}
    for name, tensor in file_tensors(model.weights).items():
        module, _, end = name.rpartition(".")
        found[f"{diffusers_module(module, places)}.{end}"] = tensor
    return found


def _network_config(config: UNetConfig) -> dict[str, Any]:
    is_pruned = config.block_depths is not None or config.output_depths is not None or config.middle_parts != 2
    if is_pruned or not config.middle_depth:
        raise _cannot("A pruned network has no configuration in diffusers")
    widths = [config.model_channels * mult for mult in config.channel_mult]
    down = ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in config.transformer_depth]
    depths = [depth or 1 for depth in config.transformer_depth]
    if config.transformer_depth[-1] not in (0, config.middle_depth):
        raise _cannot("A network whose middle is of another depth than its last level has no form in diffusers")
    depths[-1] = config.middle_depth
    found: dict[str, Any] = {
        "_class_name": "UNet2DConditionModel",
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "block_out_channels": widths,
        "layers_per_block": config.num_res_blocks,
        "down_block_types": down,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "up_block_types": [name.replace("Down", "Up") for name in reversed(down)],
        "cross_attention_dim": config.context_width,
        # In this library's configurations the name means the number of heads.
        "attention_head_dim": [config.heads(width) for width in widths],
        "transformer_layers_per_block": depths,
        "use_linear_projection": config.uses_linear,
        "norm_num_groups": config.num_groups,
        "sample_size": 64,
    }
    if config.vector_width is not None:
        found |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": NUMBER_WIDTH,
            "projection_class_embeddings_input_dim": config.vector_width,
        }
    return found


def _scheduler_config(model: NetworkDenoiser) -> dict[str, Any]:
    prediction, marks = model.parameterization.prediction, prediction_marks(model)
    kinds = {EpsPrediction(): "epsilon", VPrediction(): "v_prediction"}
    kind = next((name for known, name in kinds.items() if known == prediction), None)
    if marks is None or kind is None or len(model.parameterization.sigma_table.sigmas) != len(thousand_steps().sigmas):
        raise _cannot("What this model predicts, or its noise levels, have no form in diffusers")
    return {
        "_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000, "prediction_type": kind, "rescale_betas_zero_snr": ZERO_TERMINAL_MARK in marks,
        "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, "timestep_spacing": "leading",
    }  # fmt: skip


def _places(clip: Any, family: str) -> dict[str, ClipTextEncoder]:
    if isinstance(clip, ClipPair):
        return {"text_encoder": clip.first, "text_encoder_2": clip.second}
    if isinstance(clip, ClipTextEncoder):
        return {"text_encoder_2" if family == "sdxl_refiner" else "text_encoder": clip}
    return {}


def _as_used(encoder: ClipTextEncoder) -> int:
    """How many layers diffusers is given: those behind the one whose normed output is used are left out."""
    behind = -1 - encoder.default_layer if encoder.config.norms_hidden else 0
    return encoder.config.num_layers - behind


def _is_used(name: str, num_layers: int, has_projection: bool) -> bool:
    if name.startswith("text_projection"):
        return has_projection
    parts = name.split(".")
    return parts[1] != "encoder" or int(parts[3]) < num_layers


def _text_config(encoder: ClipTextEncoder, num_layers: int, kind: str) -> dict[str, Any]:
    config = encoder.config
    return {
        "architectures": [kind], "model_type": "clip_text_model", "hidden_size": config.width,
        "intermediate_size": config.inner_width, "num_hidden_layers": num_layers,
        "num_attention_heads": config.num_heads, "hidden_act": config.activation, "vocab_size": config.vocabulary,
        "max_position_embeddings": config.max_tokens, "projection_dim": config.projection_width or config.width,
        "bos_token_id": config.vocabulary - 2, "eos_token_id": config.vocabulary - 1, "pad_token_id": 1,
        "layer_norm_eps": 1e-05,
    }  # fmt: skip


def _tokenizer_files(encoder: ClipTextEncoder) -> dict[str, str]:
    tokenizer = encoder.tools.tokenizer(encoder.config.vocabulary)
    padding = _TOKENS["eos_token"] if encoder.form.for_vocabulary(encoder.config.vocabulary).padding else "!"
    tokens = {**_TOKENS, "pad_token": padding}
    options = {"tokenizer_class": "CLIPTokenizer", "model_max_length": encoder.config.max_tokens, **tokens}
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in tokenizer.merges), ""])
    return {
        "vocab.json": json.dumps(dict(tokenizer.ids), ensure_ascii=False),
        "merges.txt": merges,
        "tokenizer_config.json": _json(options),
        "special_tokens_map.json": _json(tokens),
    }


def _usual(vae: Any) -> KlForm:
    form = vae.form if isinstance(vae, NetworkAutoencoder) else None
    if not isinstance(form, KlForm) or form.config.codebook_size is not None or form.config.attention_levels:
        raise _cannot("This autoencoder has no form in diffusers")
    return form


def _autoencoder_config(form: KlForm, model: NetworkDenoiser) -> dict[str, Any]:
    config, count = form.config, len(form.config.channel_mult)
    return {
        "_class_name": "AutoencoderKL", "in_channels": config.pixel_channels, "out_channels": config.pixel_channels,
        "down_block_types": ["DownEncoderBlock2D"] * count, "up_block_types": ["UpDecoderBlock2D"] * count,
        "block_out_channels": [config.channels * mult for mult in config.channel_mult],
        "layers_per_block": config.num_res_blocks, "latent_channels": config.latent_channels,
        "norm_num_groups": config.num_groups, "scaling_factor": model.latent_format.scale, "sample_size": 512,
        "use_quant_conv": config.has_quant_convs, "use_post_quant_conv": config.has_quant_convs,
        "mid_block_add_attention": config.has_middle_attention,
    }  # fmt: skip
