"""Opening weight files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml

from engine.api import Clip, Context, Model, ModelFile, NodeError, Options, Vae, diffusion, node

__all__ = [
    "load_checkpoint",
    "load_checkpoint_with_config",
    "load_clip",
    "load_clip_pair",
    "load_diffusers_folder",
    "load_diffusion_model",
    "load_vae",
]

_TINY_AUTOENCODERS = ("taesd", "taesdxl", "taesd3", "taef1")
_PIXEL_SPACE = "pixel_space"
_WEIGHT_DTYPES = {
    "default": "default", "fp8_e4m3fn": "float8_e4m3fn", "fp8_e4m3fn_fast": "float8_e4m3fn", "fp8_e5m2": "float8_e5m2",
}  # fmt: skip
_SUFFIXES = (".safetensors", ".pth")


@node("CheckpointLoaderSimple", title="Load Checkpoint", category="loaders", lane="io")
def load_checkpoint(ckpt_name: Annotated[str, ModelFile("checkpoints")], ctx: Context) -> tuple[Model, Clip, Vae]:
    """The diffusion network, text encoder and autoencoder of a checkpoint file. A part the file lacks is empty."""
    return ctx.models.open_checkpoint(ctx.model_path("checkpoints", ckpt_name))


@node(
    "CheckpointLoader",
    title="Load Checkpoint With Config (DEPRECATED)",
    category="advanced/loaders",
    deprecated=True,
    lane="io",
)
def load_checkpoint_with_config(
    config_name: Annotated[str, ModelFile("configs")], ckpt_name: Annotated[str, ModelFile("checkpoints")], ctx: Context
) -> tuple[Model, Clip, Vae]:
    """As Load Checkpoint. Of the configuration only the prediction is followed; all else the file tells by itself."""
    model, clip, vae = ctx.models.open_checkpoint(ctx.model_path("checkpoints", ckpt_name))
    prediction = _stated_prediction(ctx.model_path("configs", config_name))
    if prediction is None or model is None:
        return model, clip, vae
    stated = diffusion.discrete_parameterization(prediction, is_zero_terminal=False)
    return model.with_parameterization(stated), clip, vae


@node("DiffusersLoader", category="advanced/loaders/deprecated", lane="io")
def load_diffusers_folder(model_path: Annotated[str, ModelFile("diffusers")], ctx: Context) -> tuple[Model, Clip, Vae]:
    """Network, text encoders and autoencoder of a folder saved by diffusers; its scheduler tells the prediction."""
    return ctx.models.open_diffusers_folder(ctx.model_path("diffusers", model_path))


@node("UNETLoader", title="Load Diffusion Model", category="advanced/loaders", lane="io")
def load_diffusion_model(
    unet_name: Annotated[str, ModelFile("diffusion_models")],
    weight_dtype: Literal["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"],
    ctx: Context,
) -> Model:
    """A diffusion network from a file of its own, by the names of the published checkpoints or of diffusers.

    The dtype is what its weights are held in; what it computes in stays the device's choice.
    """
    path = ctx.model_path("diffusion_models", unet_name)
    return ctx.models.open_diffusion_model(path, _WEIGHT_DTYPES[weight_dtype])


@node("CLIPLoader", title="Load CLIP", category="advanced/loaders", lane="io", optional=("device",))
def load_clip(
    clip_name: Annotated[str, ModelFile("text_encoders")],
    type: Literal[
        "stable_diffusion",
        "stable_cascade",
        "sd3",
        "stable_audio",
        "mochi",
        "ltxv",
        "pixart",
        "cosmos",
        "lumina2",
        "wan",
        "hidream",
        "chroma",
        "ace",
        "omnigen2",
        "qwen_image",
        "hunyuan_image",
    ],
    ctx: Context,
    device: Annotated[Literal["default", "cpu"], Options(advanced=True)] | None = None,
) -> Clip:
    """One text encoder from a file of its own: CLIP L, OpenCLIP H or bigG."""
    if type != "stable_diffusion":
        raise _unknown_type(type, "stable_diffusion")
    return ctx.models.open_text_encoders([ctx.model_path("text_encoders", clip_name)], on_cpu=device == "cpu")


@node("DualCLIPLoader", title="DualCLIPLoader", category="advanced/loaders", lane="io", optional=("device",))
def load_clip_pair(
    clip_name1: Annotated[str, ModelFile("text_encoders")],
    clip_name2: Annotated[str, ModelFile("text_encoders")],
    type: Literal["sdxl", "sd3", "flux", "hunyuan_video", "hidream", "hunyuan_image"],
    ctx: Context,
    device: Annotated[Literal["default", "cpu"], Options(advanced=True)] | None = None,
) -> Clip:
    """Two text encoders that belong together, each from a file of its own, in either order."""
    if type != "sdxl":
        raise _unknown_type(type, "sdxl")
    paths = [ctx.model_path("text_encoders", name) for name in (clip_name1, clip_name2)]
    return ctx.models.open_text_encoders(paths, on_cpu=device == "cpu")


@node("VAELoader", title="Load VAE", category="loaders", lane="io")
def load_vae(vae_name: Annotated[str, ModelFile("vae", also=(*_TINY_AUTOENCODERS, _PIXEL_SPACE))], ctx: Context) -> Vae:
    """An autoencoder from a file of its own, or a tiny one from its encoder and decoder in `vae_approx`.

    `pixel_space` is for models that denoise pixels: its latents are the pictures, from -1 to 1 in three channels.
    """
    if vae_name == _PIXEL_SPACE:
        return ctx.models.pixel_space_vae()
    if vae_name in _TINY_AUTOENCODERS:
        return ctx.models.open_taesd(*_tiny_parts(ctx, vae_name))
    return ctx.models.open_vae(ctx.model_path("vae", vae_name))


def _unknown_type(asked: str, known: str) -> NodeError:
    return NodeError(
        f"Text encoders of type {asked!r} cannot be loaded.", code="unknown_type", hint=f"Use {known}.", input="type"
    )


def _stated_prediction(path: Path) -> str | None:
    """What a configuration of the first Stable Diffusion scripts says the network predicts."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NodeError(f"{path.name} is not a YAML file: {error}", code="bad_config", input="config_name") from error
    for name in ("model", "params", "parameterization"):
        config = config.get(name) if isinstance(config, dict) else None
    return {"v": "v_prediction", "eps": "eps"}.get(str(config))


def _tiny_parts(ctx: Context, name: str) -> tuple[Path, Path]:
    """The files of a tiny autoencoder's encoder and decoder. Raises NodeError that names what is missing."""
    encoder, decoder = (_tiny_part(ctx, f"{name}_{part}") for part in ("encoder", "decoder"))
    if encoder is None or decoder is None:
        missing = [f"{name}_{part}" for part, path in (("encoder", encoder), ("decoder", decoder)) if path is None]
        raise NodeError(
            f"A VAE needs both halves of the tiny autoencoder; there is no {' and no '.join(missing)}.",
            code="not_found",
            hint=f"Put {missing[0]}.safetensors into models/vae_approx. For previews the decoder alone is enough.",
            input="vae_name",
        )
    return encoder, decoder


def _tiny_part(ctx: Context, stem: str) -> Path | None:
    for suffix in _SUFFIXES:
        try:
            return ctx.model_path("vae_approx", stem + suffix)
        except NodeError:
            continue
    return None
