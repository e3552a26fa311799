"""Opening a small Stable Diffusion 1 checkpoint and using its parts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.core.errors import CheckpointError, NodeError, OutOfMemory
from engine.diffusion.condition_inputs import ConditionInputs
from engine.diffusion.conditioning import ConditioningEntry
from engine.diffusion.prediction import EpsPrediction, VPrediction
from engine.families.sd1.network import LATENT_FORMAT
from engine.families.unet.form import UNetForm
from engine.families.unet.grey import grey_picture
from engine.families.unet.keys import ema_keys
from engine.families.unet.latents import XL_LATENTS
from engine.weights.patches import PatchSet
from tests.tiny_sd1 import host_with, store_on, tiny_checkpoint
from tests.untrained_sd1 import write_untrained_checkpoint

torch.set_num_threads(1)
UNET = "model.diffusion_model."


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def parts(path: Path):
    return store_on(host_with()).open_checkpoint(path)


def changed(path: Path, folder: Path, add: dict[str, torch.Tensor], remove: tuple[str, ...] = ()) -> Path:
    tensors = {key: tensor for key, tensor in load_file(path).items() if not key.startswith(remove or ("?",))}
    save_file({**tensors, **add}, folder / "changed.safetensors")
    return folder / "changed.safetensors"


def entry(parts, text: str = "a fox") -> ConditioningEntry:
    encoding = parts[1].encode(text)
    return ConditioningEntry(context=encoding.context, pooled=encoding.pooled)


# ------------------------------------------------------------------ the file


def test_the_untrained_checkpoint_is_small_and_the_same_every_time(tmp_path: Path, path: Path) -> None:
    write_untrained_checkpoint(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    write_untrained_checkpoint(tmp_path / "other.safetensors", seed=1)
    assert (tmp_path / "other.safetensors").read_bytes() != path.read_bytes()
    assert path.stat().st_size < 20 << 20


def test_a_checkpoint_opens_without_reading_a_tensor(path: Path) -> None:
    host = host_with(budget_bytes=0)
    model, clip, vae = store_on(host).open_checkpoint(path)
    assert (model.family, clip.family) == ("sd1", "sd1")
    assert (model.in_channels, model.context_width, vae.num_latent_channels, vae.downscale) == (4, 32, 4, 8)
    assert model.latent_format.scale == 0.18215
    assert host.resident_bytes == 0


def test_the_network_predicts_noise_over_a_thousand_steps(parts) -> None:
    parameterization = parts[0].parameterization
    assert parameterization.prediction == EpsPrediction()
    table = parameterization.sigma_table
    assert len(table.sigmas) == 1000
    assert table.sigma_min == pytest.approx(0.0292, abs=1e-4)
    assert table.sigma_max == pytest.approx(14.6146, abs=1e-3)


def test_a_marked_file_predicts_velocity(path: Path, tmp_path: Path) -> None:
    marked = changed(path, tmp_path, {"v_pred": torch.zeros(0)})
    assert store_on(host_with()).open_checkpoint(marked)[0].parameterization.prediction == VPrediction()


def test_training_leftovers_are_known_to_be_harmless(path: Path, tmp_path: Path) -> None:
    leftovers = {
        "betas": torch.zeros(3),
        "model_ema.decay": torch.tensor(0.9),
        f"{'model_ema.diffusion_model'}out2weight": torch.zeros(1),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
        "first_stage_model.loss.logvar": torch.zeros(1),
    }
    model, clip, vae = store_on(host_with()).open_checkpoint(changed(path, tmp_path, leftovers))
    assert None not in (model, clip, vae)
    assert ema_keys(["out.2.weight"]) == {"model_ema.diffusion_modelout2weight"}


@pytest.mark.parametrize(
    ("add", "remove", "message"),
    [
        ({"surprise": torch.zeros(1)}, (), "surprise"),
        ({"model_ema.diffusion_modelnothing": torch.zeros(1)}, (), "model_ema.diffusion_modelnothing"),
        (
            {f"{UNET}extra.weight": torch.zeros(1)},
            (),
            r"U-Net has 1 unknown weight\(s\): model\.diffusion_model\.extra",
        ),
        ({}, (f"{UNET}out.0.bias",), r"U-Net lacks 1 weight\(s\): out\.0\.bias"),
        ({f"{UNET}out.0.bias": torch.zeros(7)}, (), r"out\.0\.bias is \[7\] where \[32\] is needed"),
        ({}, ("first_stage_model.quant_conv.bias",), "autoencoder lacks"),
        ({}, ("cond_stage_model.transformer.text_model.final_layer_norm.bias",), "text encoder lacks"),
    ],
)
def test_every_key_is_accounted_for(path: Path, tmp_path: Path, add, remove, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        store_on(host_with()).open_checkpoint(changed(path, tmp_path, add, remove))


def test_text_keys_without_their_middle_part_are_understood(path: Path, tmp_path: Path, parts) -> None:
    renamed = {key.replace(".text_model.", "."): tensor for key, tensor in load_file(path).items()}
    save_file(renamed, tmp_path / "renamed.safetensors")
    clip = store_on(host_with()).open_checkpoint(tmp_path / "renamed.safetensors")[1]
    assert torch.equal(clip.encode("a fox").context, parts[1].encode("a fox").context)


def test_a_pickled_checkpoint_gives_the_same_numbers(path: Path, tmp_path: Path, parts) -> None:
    torch.save({"state_dict": load_file(path), "epoch": 3}, tmp_path / "tiny.ckpt")
    store = store_on(host_with(), converted=tmp_path / "converted")
    clip = store.open_checkpoint(tmp_path / "tiny.ckpt")[1]
    assert torch.equal(clip.encode("a fox").context, parts[1].encode("a fox").context)


def test_an_unchanged_file_is_opened_once_and_a_changed_one_again(path: Path, tmp_path: Path) -> None:
    copy = changed(path, tmp_path, {})
    store = store_on(host_with())
    first = store.open_checkpoint(copy)
    assert store.open_checkpoint(copy) is first
    changed(path, tmp_path, {"v_pred": torch.zeros(0)})
    again = store.open_checkpoint(copy)
    assert again is not first
    assert again[0].identity != first[0].identity


def test_handles_work_after_the_store_was_freed(path: Path) -> None:
    host = host_with()
    store = store_on(host)
    clip = store.open_checkpoint(path)[1]
    before = clip.encode("a fox").context
    store.free()
    assert host.resident_bytes == 0
    assert torch.equal(clip.encode("a fox").context, before)


def test_the_content_digest_is_the_hash_of_the_file(parts, path: Path) -> None:
    wanted = hashlib.sha256(path.read_bytes()).hexdigest()
    assert {part.content_digest for part in parts} == {wanted}


# ------------------------------------------------------------------ text


def test_text_becomes_one_vector_a_token(parts) -> None:
    encoding = parts[1].encode("a fox")
    assert encoding.context.shape == (1, 77, 32)
    assert encoding.pooled.shape == (1, 32)
    assert encoding.context.dtype is torch.float32
    assert encoding.context.device.type == "cpu"


def test_long_text_is_encoded_in_chunks_that_are_joined(parts) -> None:
    clip = parts[1]
    encoding = clip.encode(" ".join(["fox"] * 100))
    assert encoding.context.shape == (1, 154, 32)
    assert torch.allclose(encoding.context[:, :77], clip.encode(" ".join(["fox"] * 75)).context, atol=1e-5)


def test_a_weight_moves_a_token_away_from_the_empty_text(parts) -> None:
    clip = parts[1]
    plain, empty = clip.encode("a fox runs").context, clip.encode("").context
    weighted = clip.encode("a (fox:1.5) runs").context
    wanted = plain.clone()
    wanted[0, 2] = empty[0, 2] + (plain[0, 2] - empty[0, 2]) * 1.5
    assert torch.allclose(weighted, wanted, atol=1e-5)
    assert torch.equal(weighted[0, 1], plain[0, 1])
    assert torch.allclose(clip.encode("(a fox runs:0)").context[0, 1:4], empty[0, 1:4], atol=1e-5)


def test_the_pooled_vector_is_read_at_the_end_of_the_first_chunk(parts) -> None:
    clip = parts[1]
    encoding = clip.encode("a fox")
    assert torch.allclose(encoding.pooled[0], encoding.context[0, 3], atol=1e-5)
    weighted = clip.encode("a (fox:1.3)")
    assert torch.allclose(weighted.pooled, encoding.pooled, atol=1e-5)


def test_an_earlier_layer_gives_other_vectors_and_the_same_pooled_one(parts) -> None:
    clip = parts[1]
    skipped = clip.with_last_layer(-2)
    assert (clip.last_layer, skipped.last_layer) == (None, -2)
    assert skipped.identity != clip.identity
    a, b = clip.encode("a fox"), skipped.encode("a fox")
    assert not torch.allclose(a.context, b.context, atol=1e-3)
    assert torch.allclose(a.pooled, b.pooled, atol=1e-6)
    assert torch.equal(clip.with_last_layer(-1).encode("a fox").context, a.context)
    assert torch.equal(clip.with_last_layer(-24).encode("a fox").context, a.context)


def test_a_layer_that_is_not_negative_is_refused(parts) -> None:
    with pytest.raises(NodeError, match="negative"):
        parts[1].with_last_layer(0)


def test_tokens_may_be_changed_between_tokenizing_and_encoding(parts) -> None:
    clip = parts[1]
    tokens = clip.tokenize("a fox", word_ids=True)
    assert [number for *_, number in tokens["l"][0][:4]] == [0, 1, 1, 0]
    assert torch.equal(clip.encode_tokens(tokens).context, clip.encode("a fox").context)
    with pytest.raises(NodeError, match="'l'"):
        clip.encode_tokens({"g": tokens["l"]})


def test_a_vector_stands_for_its_token(path: Path, tmp_path: Path, parts) -> None:
    table = load_file(path)["cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"]
    (fox,) = [entry[0] for entry in parts[1].tokenize("fox")["l"][0][1:2]]
    save_file({"emb_params": table[fox : fox + 1].float()}, tmp_path / "fox.safetensors")
    clip = store_on(host_with(), embeddings=tmp_path).open_checkpoint(path)[1]
    warnings: list[str] = []
    found = clip.encode("a embedding:fox runs", warn=warnings.append)
    assert torch.allclose(found.context, clip.encode("a fox runs").context, atol=1e-6)
    assert warnings == []


# ------------------------------------------------------------------ the network


def test_a_batch_gives_what_its_items_give_alone(parts) -> None:
    model = parts[0]
    inputs = model.condition(entry(parts), torch.zeros(1, 4, 16, 16), None)
    x, sigma = torch.randn(3, 4, 16, 16) * 3, torch.tensor([10.0, 1.0, 0.1])
    together = model.denoise(x, sigma, inputs)
    assert together.shape == x.shape
    assert together.dtype is torch.float32
    for item in range(3):
        alone = model.denoise(x[item : item + 1], sigma[item : item + 1], inputs)
        assert torch.allclose(together[item : item + 1], alone, atol=1e-4)


def test_latents_keep_the_usual_range_although_nothing_was_learned(parts) -> None:
    model = parts[0]
    inputs = model.condition(entry(parts), torch.zeros(1, 4, 16, 16), None)
    denoised = model.denoise(torch.randn(1, 4, 16, 16) * 14.6, torch.tensor([14.6]), inputs)
    assert float(denoised.std()) < 10
    other = model.condition(entry(parts, "something else"), torch.zeros(1, 4, 16, 16), None)
    assert not torch.allclose(denoised, model.denoise(torch.randn(1, 4, 16, 16), torch.tensor([14.6]), other))


def test_numbers_do_not_depend_on_the_memory_budget_but_for_rounding(path: Path) -> None:
    x, sigma = torch.randn(1, 4, 16, 16), torch.tensor([3.0])
    answers = []
    for budget in (1 << 30, 8 << 20, 3 << 20):
        host = host_with(budget)
        found = store_on(host).open_checkpoint(path)
        inputs = found[0].condition(entry(found), x, None)
        answers.append(found[0].denoise(x, sigma, inputs))
        assert host.resident_bytes <= budget
    for answer in answers[1:]:  # packed kernels add up in another order than plain ones
        torch.testing.assert_close(answer, answers[0], rtol=1e-5, atol=1e-5)


def test_a_batch_that_exceeds_the_budget_is_computed_in_parts(path: Path) -> None:
    x, sigma = torch.randn(4, 4, 16, 16), torch.tensor([3.0, 2.0, 1.0, 0.5])
    rich, poor = host_with(), host_with(5 << 20)
    wanted = _denoise(store_on(rich), path, x, sigma)
    model = store_on(poor).open_checkpoint(path)[0]
    assert model.activation_bytes(4, 16, 16) + (3 << 20) > poor.budget_bytes
    assert torch.allclose(_denoise(store_on(poor), path, x, sigma), wanted, atol=1e-4)


def test_a_picture_that_fits_no_plan_is_a_typed_error(path: Path) -> None:
    with pytest.raises(OutOfMemory):
        _denoise(store_on(host_with(2 << 20)), path, torch.randn(1, 4, 64, 64), torch.tensor([3.0]))


def _denoise(store, path: Path, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    model = store.open_checkpoint(path)[0]
    context = torch.linspace(-1, 1, 7 * 32).view(1, 7, 32)
    return model.denoise(x, sigma, ConditionInputs(context=context))


def test_text_of_another_width_is_refused(parts) -> None:
    with pytest.raises(NodeError, match="width 32") as caught:
        parts[0].condition(ConditioningEntry(context=torch.zeros(1, 77, 768)), torch.zeros(1, 4, 8, 8), None)
    assert caught.value.code == "context_mismatch"


@dataclass(frozen=True)
class Zero:
    identity: str = "zero the output"

    @property
    def names(self) -> frozenset[str]:
        return frozenset({"out.2.weight", "out.2.bias"})

    def apply(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        return weight.zero_()


def test_patches_change_the_handle_they_are_added_to_and_no_other(parts) -> None:
    model = parts[0]
    patched = model.with_patches(PatchSet((Zero(),)))
    inputs = model.condition(entry(parts), torch.zeros(1, 4, 8, 8), None)
    x, sigma = torch.randn(1, 4, 8, 8), torch.tensor([2.0])
    before = model.denoise(x, sigma, inputs)
    assert torch.equal(patched.denoise(x, sigma, inputs), x)
    assert torch.equal(model.denoise(x, sigma, inputs), before)
    assert patched.identity != model.identity
    assert patched.identity == model.with_patches(PatchSet((Zero(),))).identity


# ------------------------------------------------------------------ variants of the network


def form(parts, in_channels: int) -> UNetForm:
    return UNetForm(replace(parts[0].form.config, in_channels=in_channels), LATENT_FORMAT)


def context_entry(**extras: torch.Tensor) -> ConditioningEntry:
    return ConditioningEntry(context=torch.zeros(1, 77, 32), extras=extras)


def test_inpainting_sees_the_mask_and_the_masked_picture(parts) -> None:
    picture, mask = torch.randn(1, 4, 8, 8), torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    latent = torch.randn(2, 4, 8, 8)
    given = context_entry(concat_latent_image=picture, concat_mask=mask)
    concat = form(parts, 9).condition(given, latent, None).concat
    assert concat.shape == (2, 5, 8, 8)
    assert torch.equal(concat[:, :1], mask.expand(2, -1, -1, -1))
    assert torch.allclose(concat[:, 1:], LATENT_FORMAT.to_network(picture).expand(2, -1, -1, -1))


def test_inpainting_without_a_picture_uses_the_latent_and_its_noise_mask(parts) -> None:
    latent, noise_mask = torch.randn(1, 4, 8, 8), torch.full((1, 1, 8, 8), 0.6)
    concat = form(parts, 9).condition(context_entry(), latent, noise_mask).concat
    assert torch.equal(concat, torch.cat([torch.ones(1, 1, 8, 8), latent], dim=1))


def test_inpainting_without_a_mask_sees_grey_to_be_filled(parts) -> None:
    published = replace(form(parts, 9), grey=grey_picture(LATENT_FORMAT, 320, None))
    concat = published.condition(context_entry(), torch.randn(2, 4, 8, 8), None).concat
    assert torch.equal(concat[:, :1], torch.ones(2, 1, 8, 8))
    assert concat[1, 1:, 0, 0].tolist() == pytest.approx([0.8223, -0.6876, 0.6364, 0.1380])


def test_grey_is_what_the_files_own_autoencoder_makes_of_it(parts, path: Path, tmp_path: Path) -> None:
    key = f"{UNET}input_blocks.0.0.weight"
    wide = changed(path, tmp_path, {key: torch.cat([load_file(path)[key], torch.zeros(32, 5, 3, 3).half()], dim=1)})
    model, _, vae = store_on(host_with()).open_checkpoint(wide)
    concat = model.condition(context_entry(), torch.randn(2, 4, 4, 8), None).concat
    assert torch.allclose(concat[1:, 1:], LATENT_FORMAT.to_network(vae.encode(torch.full((1, 32, 64, 3), 0.5))))


def test_without_its_autoencoder_nothing_tells_how_grey_looks_to_a_network_of_other_latents(parts) -> None:
    for latents, width in ((XL_LATENTS, 320), (LATENT_FORMAT, 64)):
        unknown = replace(form(parts, 9), grey=grey_picture(latents, width, None))
        with pytest.raises(NodeError, match="sampled without a mask") as error:
            unknown.condition(context_entry(), torch.randn(1, 4, 8, 8), None)
        assert "InpaintModelConditioning" in error.value.hint


def test_a_mask_of_another_size_is_fitted_centrally(parts) -> None:
    mask = torch.zeros(1, 16, 32)
    mask[..., 8:24] = 1
    given = context_entry(concat_latent_image=torch.zeros(1, 4, 16, 32), concat_mask=mask)
    concat = form(parts, 9).condition(given, torch.zeros(1, 4, 8, 8), None).concat
    assert torch.equal(concat[:, :1], torch.ones(1, 1, 8, 8))


def test_editing_sees_the_picture_at_its_own_scale(parts) -> None:
    picture = torch.randn(1, 4, 8, 8)
    given = context_entry(concat_latent_image=picture)
    assert torch.equal(form(parts, 8).condition(given, torch.zeros(1, 4, 8, 8), None).concat, picture)
    plain = form(parts, 8).condition(context_entry(), torch.ones(1, 4, 8, 8), None).concat
    assert torch.equal(plain, torch.zeros(1, 4, 8, 8))


def test_a_network_with_further_channels_is_called_with_them(path: Path, tmp_path: Path) -> None:
    key = f"{UNET}input_blocks.0.0.weight"
    wide = torch.cat([load_file(path)[key], torch.randn(32, 5, 3, 3).half()], dim=1)
    model = store_on(host_with()).open_checkpoint(changed(path, tmp_path, {key: wide}))[0]
    assert model.in_channels == 9
    x = torch.randn(2, 4, 8, 8)
    inputs = model.condition(context_entry(), x, None)
    assert model.denoise(x, torch.tensor([1.0, 2.0]), inputs).shape == x.shape
