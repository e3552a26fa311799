"""Small checkpoints of the families after Stable Diffusion 1, and published layouts as files, for tests."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from engine.nn.autoencoder import Autoencoder, AutoencoderConfig
from engine.nn.text_transformer import TextConfig, TextTransformer
from engine.nn.unet import UNet, UNetConfig

__all__ = ["DERIVED", "layout", "layout_file", "open_clip_weights", "random_weights", "small_file"]

LAYOUTS = Path(__file__).parent / "data" / "layouts"
INPUT_CONVOLUTION = "model.diffusion_model.input_blocks.0.0.weight"
DERIVED: Mapping[str, tuple[str, int]] = {"instruct-pix2pix": ("sd15", 8), "sdxl-inpainting": ("sdxl-base-1.0", 9)}
"""Networks whose files' keys are not listed: the layout they were trained from, and the channels they see."""

WIDTHS = {"F32": 4, "F16": 2, "I32": 4, "I64": 8}

TEXT_L = TextConfig(32, 3, 1, 48, vocabulary=600)
TEXT_H = TextConfig(32, 3, 1, 48, vocabulary=600, activation="gelu", projection_width=32)
TEXT_G = TextConfig(64, 3, 1, 96, vocabulary=600, activation="gelu", projection_width=40)
_VAE = AutoencoderConfig(32, (1, 1, 1, 1), 1, 4)


def layout(name: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Key → (dtype, shape) of a published file, or of one derived from it by its input convolution."""
    if name in DERIVED:
        base, channels = DERIVED[name]
        found = layout(base)
        dtype, shape = found[INPUT_CONVOLUTION]
        return {**found, INPUT_CONVOLUTION: (dtype, (shape[0], channels, *shape[2:]))}
    for path, unpack in ((LAYOUTS / f"{name}.json.gz", gzip.decompress), (LAYOUTS / f"{name}.json", bytes)):
        if path.exists():
            return {k: (d, tuple(s)) for k, (d, s) in json.loads(unpack(path.read_bytes()))["tensors"].items()}
    alias = json.loads((LAYOUTS / "aliases.json").read_text())[name]
    added = {key: (dtype, tuple(shape)) for key, (dtype, shape) in alias.get("add", {}).items()}
    return {**layout(alias["alias_of"]), **added}


def layout_file(name: str, folder: Path) -> Path:
    """A file with the keys, dtypes and shapes of a published one, of full size and all zeros (a hole on the disk)."""
    header: dict[str, object] = {}
    place = 0
    for key, (dtype, shape) in layout(name).items():
        stop = place + torch.Size(shape).numel() * WIDTHS[dtype]
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [place, stop]}
        place = stop
    text = json.dumps(header).encode()
    path = folder / f"{name}.safetensors"
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + place)
    return path


def random_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """Weights by name from torch's generator: norms near 1, matrices of variance 1/fan-in."""
    found = {}
    for name, weight in network.state_dict().items():
        scale = 0.1 if weight.ndim < 2 or "embedding" in name else weight[0].numel() ** -0.5
        offset = float(weight.ndim == 1 and name.endswith("weight"))
        found[name] = torch.randn(weight.shape) * scale + offset
    return found


def open_clip_weights(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A text transformer's weights by OpenCLIP's names: q, k and v in one, the projection the other way round."""
    found: dict[str, torch.Tensor] = {"logit_scale": torch.tensor(4.6)}
    plain = (
        (r"text_model\.embeddings\.token_embedding", "token_embedding"),
        (r"text_model\.embeddings\.position_embedding\.weight", "positional_embedding"),
        (r"text_model\.final_layer_norm", "ln_final"),
        (r"text_model\.encoder\.layers\.", "transformer.resblocks."),
        (r"layer_norm", "ln_"),
        (r"mlp\.fc1", "mlp.c_fc"),
        (r"mlp\.fc2", "mlp.c_proj"),
        (r"self_attn", "attn"),
    )
    for name, weight in weights.items():
        if name == "text_projection.weight":
            found["text_projection"] = weight.t().contiguous()
            continue
        target = name
        for old, new in plain:
            target = re.sub(old, new, target)
        match = re.fullmatch(r"(.*attn)\.([qkv])_proj\.(weight|bias)", target)
        if match is None:
            found[target] = weight
        elif match[2] == "q":
            parts = [weights[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            found[f"{match[1]}.in_proj_{match[3]}"] = torch.cat(parts)
    return found


def small_file(family: str, folder: Path, unet: UNetConfig, add: Mapping[str, torch.Tensor] | None = None) -> Path:
    """A checkpoint of a family ("sd2", "sdxl", "sdxl_refiner") in its published key form, with random weights."""
    torch.manual_seed(0)
    tensors = {f"model.diffusion_model.{name}": w for name, w in random_weights(UNet(unet)).items()}
    tensors.update({f"first_stage_model.{name}": w for name, w in random_weights(Autoencoder(_VAE)).items()})
    second = {"sd2": "cond_stage_model.model.", "sdxl": "conditioner.embedders.1.model."}
    prefix = second.get(family, "conditioner.embedders.0.model.")
    config = TEXT_H if family == "sd2" else TEXT_G
    tensors.update({prefix + n: w for n, w in open_clip_weights(random_weights(TextTransformer(config))).items()})
    if family == "sdxl":
        first = random_weights(TextTransformer(TEXT_L))
        tensors.update({f"conditioner.embedders.0.transformer.{n}": w for n, w in first.items()})
    path = folder / f"{family}.safetensors"
    save_file({**tensors, **(add or {})}, path)
    return path
