"""Saved models: published keys, the numbers the handles compute with, marks and entries, and the way back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from engine.core.errors import CheckpointError
from engine.diffusion.parameterization import Parameterization
from engine.diffusion.prediction import EpsPrediction, FlowPrediction, VPrediction
from engine.diffusion.sigma_table import FlowSigmaTable, zero_terminal
from engine.families.model_store import ModelStore
from engine.families.unet.latents import thousand_steps
from nodes import merge as merging
from nodes import model_files
from tests.families.test_unet_families import SMALL
from tests.tiny_families import small_file
from tests.tiny_sd1 import host_with, shallow_checkpoint, store_on

torch.set_num_threads(1)

GRAPH = {"3": {"class_type": "CheckpointSave", "inputs": {}}}
WORKFLOW = {"workflow": {"nodes": []}}


@dataclass
class SavingContext:
    """Writes files beside each other under their prefixes."""

    models: ModelStore
    folder: Path
    metadata_enabled: bool = True
    saved: dict[str, Path] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)

    def progress(self, value: int, maximum: int) -> None:
        self.steps.append((value, maximum))

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def save_file(self, data: Callable[[Path], None], *, prefix: str, extension: str, **options: Any) -> None:
        path = self.folder / f"{prefix.replace('/', '_')}.{extension}"
        data(path)
        self.saved[prefix] = path


def entries_of(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata() or {}


@pytest.fixture
def saving(tmp_path: Path) -> SavingContext:
    return SavingContext(store_on(host_with()), tmp_path)


@pytest.mark.parametrize("family", ["sd1", *SMALL])
def test_a_checkpoint_saved_and_opened_again_has_the_keys_and_numbers_it_had(
    family: str, saving: SavingContext, tmp_path: Path
) -> None:
    path = shallow_checkpoint(tmp_path) if family == "sd1" else small_file(family, tmp_path, SMALL[family])
    handles = saving.models.open_checkpoint(path)
    model_files.save_checkpoint(*handles, saving, "checkpoints/mine", GRAPH, WORKFLOW)
    first, second = load_file(path), load_file(saving.saved["checkpoints/mine"])
    assert {key for key in first if not key.endswith("logit_scale")} == set(second)
    assert all(torch.equal(first[key], weight) and first[key].dtype == weight.dtype for key, weight in second.items())
    again = saving.models.open_checkpoint(saving.saved["checkpoints/mine"])
    assert again[0].parameterization.identity == handles[0].parameterization.identity
    assert saving.steps[0] == (0, len(second))
    entries = entries_of(saving.saved["checkpoints/mine"])
    assert (json.loads(entries["prompt"]), json.loads(entries["workflow"])) == (GRAPH, WORKFLOW["workflow"])
    assert entries["modelspec.title"] == "mine"
    assert entries["modelspec.architecture"].startswith("stable-diffusion-")


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
@pytest.mark.parametrize("levels", ["usual", "zero terminal"])
def test_what_a_model_predicts_is_told_by_marks(
    family: str, levels: str, saving: SavingContext, tmp_path: Path
) -> None:
    path = shallow_checkpoint(tmp_path) if family == "sd1" else small_file(family, tmp_path, SMALL[family])
    model, clip, vae = saving.models.open_checkpoint(path)
    table = thousand_steps() if levels == "usual" else zero_terminal(thousand_steps())
    wanted = Parameterization(VPrediction(), table)
    model_files.save_checkpoint(model.with_parameterization(wanted), clip, vae, saving, "v")
    again = saving.models.open_checkpoint(saving.saved["v"])[0]
    assert again.parameterization.identity == wanted.identity
    assert entries_of(saving.saved["v"])["modelspec.prediction_type"] == "v"
    assert saving.warnings == []


def test_a_prediction_without_a_mark_is_warned_about(saving: SavingContext, tmp_path: Path) -> None:
    model, clip, vae = saving.models.open_checkpoint(shallow_checkpoint(tmp_path))
    flow = model.with_parameterization(Parameterization(FlowPrediction(), FlowSigmaTable()))
    model_files.save_checkpoint(flow, clip, vae, saving, "flow")
    assert "No file can say what this model predicts" in saving.warnings[0]
    again = saving.models.open_checkpoint(saving.saved["flow"])[0]
    assert again.parameterization.prediction == EpsPrediction()


def test_merges_and_adapters_are_in_the_saved_numbers(saving: SavingContext, tmp_path: Path) -> None:
    path = shallow_checkpoint(tmp_path)
    model, clip, vae = saving.models.open_checkpoint(path)
    name, first = "middle_block.1.proj_in", load_file(path)
    key = next(spelled for spelled, module in model.adapter_modules.items() if module == name)
    up, down = torch.randn(first[f"model.diffusion_model.{name}.weight"].shape[0], 1), torch.randn(1, 64)
    lora = saving.models.hold_adapter({f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down})
    both = merging.add_models(lora.apply(model, None)[0], model, saving)
    saving.metadata_enabled = False
    model_files.save_checkpoint(both, clip, vae, saving, "both", GRAPH, WORKFLOW)
    weight = first[f"model.diffusion_model.{name}.weight"]
    wanted = 2 * weight + (up @ down).view(weight.shape)
    found = load_file(saving.saved["both"])[f"model.diffusion_model.{name}.weight"]
    assert torch.allclose(found, wanted, atol=1e-6)
    assert not {"prompt", "workflow"} & set(entries_of(saving.saved["both"]))


def test_parts_are_saved_in_files_of_their_own_that_the_loaders_open(saving: SavingContext, tmp_path: Path) -> None:
    path = small_file("sdxl", tmp_path, SMALL["sdxl"])
    model, clip, vae = saving.models.open_checkpoint(path)
    model_files.save_clip(clip, saving, "clip/mine")
    model_files.save_vae(vae, saving, "vae/mine")
    model_files.save_model(model, saving, "unet/mine")
    assert set(saving.saved) == {"clip/mine_clip_l", "clip/mine_clip_g", "vae/mine", "unet/mine"}
    first = load_file(saving.saved["clip/mine_clip_l"])
    stored = load_file(path)
    assert torch.equal(
        first["text_model.final_layer_norm.weight"],
        stored["conditioner.embedders.0.transformer.text_model.final_layer_norm.weight"],
    )
    latent = torch.randn(1, 4, 4, 4)
    assert torch.equal(saving.models.open_vae(saving.saved["vae/mine"]).decode(latent), vae.decode(latent))
    assert all(key.startswith("model.diffusion_model.") for key in load_file(saving.saved["unet/mine"]))
    assert "will not be recognised" in saving.warnings[0]


def test_parts_that_no_file_holds_together_are_refused(saving: SavingContext, tmp_path: Path) -> None:
    model, _, vae = saving.models.open_checkpoint(shallow_checkpoint(tmp_path))
    other = saving.models.open_checkpoint(small_file("sd2", tmp_path, SMALL["sd2"]))[1]
    with pytest.raises(CheckpointError, match="does not belong to this model"):
        model_files.save_checkpoint(model, other, vae, saving, "mixed")
    with pytest.raises(CheckpointError, match="Only the usual autoencoders"):
        model_files.save_vae(saving.models.pixel_space_vae(), saving, "pixels")
    with pytest.raises(CheckpointError, match="no text encoder"):
        model_files.save_clip(None, saving, "none")


def test_numbers_a_dtype_cannot_hold_are_refused_and_leave_no_file(saving: SavingContext, tmp_path: Path) -> None:
    model, clip, vae = saving.models.open_checkpoint(shallow_checkpoint(tmp_path))
    huge = model
    for _ in range(6):
        huge = merging.subtract_models(huge, merging.add_models(model, model, saving), saving, multiplier=10.0)
    file = saving.models.checkpoint_file(huge, clip, vae, title="huge")
    path = tmp_path / "huge.safetensors"
    with pytest.raises(CheckpointError, match="float16 cannot hold"):
        file.with_dtype(torch.float16).write(path)
    assert not path.exists()
    saving.models.checkpoint_file(model, clip, vae, title="plain").with_dtype(torch.float16).write(path)
    assert {weight.dtype for weight in load_file(path).values()} == {torch.float16}
