"""Files of handles: a checkpoint of a model, text encoder and autoencoder with their patches, or one part alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from engine.core.errors import CheckpointError
from engine.diffusion.prediction import EpsPrediction, VPrediction
from engine.families.autoencoder.forms import KlForm
from engine.families.autoencoder.handle import NetworkAutoencoder
from engine.families.contract import Warn
from engine.families.denoiser import NetworkDenoiser
from engine.families.published_form import PublishedForm, PublishingFamily
from engine.families.registry import FamilyRegistry
from engine.families.text.clip_encoder import ClipTextEncoder
from engine.families.text.clip_pair import ClipPair
from engine.families.text.open_clip_form import open_clip_tensors
from engine.families.unet.latents import COLOURS_MARK, LATENTS_ENTRY
from engine.weights.adapters.extraction import extracted_tensors
from engine.weights.weight_file import FileTensor, WeightFile, file_tensors, held_tensor

__all__ = ["autoencoder_file", "checkpoint_file", "extracted_adapter_file", "text_encoder_files"]

_NETWORK_PREFIX = "model.diffusion_model."
_AUTOENCODER_PREFIX = "first_stage_model."
_SPECIFICATION = "1.0.0"
"""Version of Stability's ModelSpec that the entries follow."""


def checkpoint_file(
    registry: FamilyRegistry,
    model: Any,
    clip: Any = None,
    vae: Any = None,
    *,
    title: str,
    metadata: Mapping[str, str] | None = None,
    warn: Warn | None = None,
) -> WeightFile:
    """The checkpoint of these handles in their family's published keys, with ModelSpec's entries and its marks.

    warn: told when no mark says what the model predicts. Raises CheckpointError for handles that no file can hold
    together.
    """
    if not isinstance(model, NetworkDenoiser):
        raise CheckpointError("There is no model to save.", code="cannot_save", hint="Connect a model.")
    form = _published(registry, model.family)
    tensors = file_tensors(model.weights, _NETWORK_PREFIX)
    for encoder in _encoders(clip):
        tensors |= _text_tensors(form, encoder)
    if vae is not None:
        tensors |= file_tensors(_kl(vae).weights, _AUTOENCODER_PREFIX)
    marks = form.marks(model)
    if marks is None and warn is not None:
        warn("No file can say what this model predicts; it will be opened with its family's usual prediction.")
    if model.edits and warn is not None:
        warn("Hypernetworks, FreeU and other changes of what the network computes are no weights and are not saved.")
    tensors |= {key: held_tensor(mark) for key, mark in (marks or {}).items()}
    _check_recognised(registry, title, tensors, model.family, is_whole=clip is not None, warn=warn)
    latents = {LATENTS_ENTRY: model.latent_format.name} if COLOURS_MARK in (marks or {}) else {}
    entries = {**_model_entries(form, model, title), **latents, **(metadata or {})}
    return WeightFile(tensors, entries)


def text_encoder_files(clip: Any, metadata: Mapping[str, str] | None = None) -> dict[str, WeightFile]:
    """A file for each text encoder, by its name ("clip_l"), in the names of transformers. Raises CheckpointError."""
    encoders = _encoders(clip)
    if not encoders:
        raise CheckpointError("There is no text encoder to save.", code="cannot_save", hint="Connect a CLIP.")
    return {
        f"clip_{encoder.key}": WeightFile(file_tensors(encoder.weights), dict(metadata or {})) for encoder in encoders
    }


def autoencoder_file(vae: Any, metadata: Mapping[str, str] | None = None) -> WeightFile:
    """The autoencoder by its published names. Raises CheckpointError for one of another kind."""
    return WeightFile(file_tensors(_kl(vae).weights), dict(metadata or {}))


def extracted_adapter_file(
    model: Any,
    clip: Any,
    *,
    rank: int,
    kind: Literal["standard", "full_diff"],
    biases: bool,
    metadata: Mapping[str, str] | None = None,
) -> WeightFile:
    """The adapter that adds the weights of these handles, which are differences of two models; either may be None.

    Modules have the names of kohya's scripts. Raises CheckpointError when there is neither.
    """
    tensors: dict[str, FileTensor] = {}
    for handle in (model, clip):
        if handle is not None:
            spellings: dict[str, str] = {}
            for spelled, module in handle.adapter_modules.items():
                spellings.setdefault(module, spelled)
            tensors |= extracted_tensors(handle.weights, spellings, rank, kind, biases=biases)
    if not tensors:
        raise CheckpointError(
            "There is no difference to save.", code="cannot_save", hint="Connect what ModelMergeSubtract makes."
        )
    return WeightFile(tensors, dict(metadata or {}))


def _published(registry: FamilyRegistry, name: str) -> PublishedForm:
    family = registry.families.get(name)
    if not isinstance(family, PublishingFamily):
        raise CheckpointError(f"Models of the family {name} cannot be saved.", code="cannot_save")
    return family.published


def _check_recognised(
    registry: FamilyRegistry,
    title: str,
    tensors: Mapping[str, FileTensor],
    family: str,
    *,
    is_whole: bool,
    warn: Warn | None,
) -> None:
    """Nobody should find out later that a file cannot be opened. A small network alone is a matter of a warning."""
    try:
        match = registry.detect(title, {key: tensor.shape for key, tensor in tensors.items()})
    except CheckpointError:
        if is_whole:
            raise
        if warn is not None:
            warn("Without its text encoder this network will not be recognised when the file is opened.")
        return
    if match.family != family:
        raise CheckpointError(
            f"These parts would be opened as {match.description}, not as {family}.", code="cannot_save"
        )


def _encoders(clip: Any) -> tuple[ClipTextEncoder, ...]:
    if clip is None:
        return ()
    if isinstance(clip, ClipPair):
        return clip.encoders
    if isinstance(clip, ClipTextEncoder):
        return (clip,)
    raise CheckpointError(f"A {type(clip).__name__} cannot be saved.", code="cannot_save")


def _text_tensors(form: PublishedForm, encoder: ClipTextEncoder) -> dict[str, FileTensor]:
    text = form.texts.get(encoder.key)
    if text is None:
        raise CheckpointError(
            f"A text encoder of the family {encoder.family} does not belong to this model.",
            code="cannot_save",
            hint="Connect the CLIP of a checkpoint of the model's own family.",
        )
    tensors = file_tensors(encoder.weights)
    tensors = open_clip_tensors(tensors) if text.is_open_clip else tensors
    return {text.prefix + name: tensor for name, tensor in tensors.items()}


def _kl(vae: Any) -> NetworkAutoencoder:
    if not isinstance(vae, NetworkAutoencoder) or not isinstance(vae.form, KlForm):
        raise CheckpointError(
            "Only the usual autoencoders can be saved, not tiny ones or the pixel space.",
            code="cannot_save",
            hint="Connect the VAE of a checkpoint or of a VAE file.",
        )
    return vae


def _model_entries(form: PublishedForm, model: NetworkDenoiser, title: str) -> dict[str, str]:
    """Source: Stability's ModelSpec 1.0.0; `predict_key` is what ComfyUI calls the prediction type."""
    entries = {
        "modelspec.sai_model_spec": _SPECIFICATION,
        "modelspec.architecture": form.architecture(model),
        "modelspec.implementation": "sgm",
        "modelspec.title": title,
    }
    kinds = {EpsPrediction: "epsilon", VPrediction: "v"}
    kind = kinds.get(type(model.parameterization.prediction))  # type: ignore[call-overload]
    if kind is not None:
        entries |= {"modelspec.prediction_type": kind, "modelspec.predict_key": kind}
    return entries
