"""Makes one picture with a full-size checkpoint in a process of its own: by the engine, or by diffusers.

Run as a script: `full_size_picture.py engine|diffusers CHECKPOINT RESULT`. The result is a torch file with the latent
and the peak of resident memory in bytes.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
POSITIVE, NEGATIVE = "a lighthouse on a cliff, (storm:1.0), oil painting", "blurry, low quality"
SEED, STEPS, SCALE, SIDE = 7, 2, 4.0, 32


def by_engine(checkpoint: Path) -> dict[str, Any]:
    """As the nodes do it, with the settings a worker starts with on the CPU."""
    from engine.core.folders import Folders
    from engine.core.settings import MemorySettings, Settings
    from engine.diffusion.conditioning import parse_conditioning
    from engine.diffusion.discretization.registry import discretize
    from engine.diffusion.guiders.cfg import Cfg
    from engine.diffusion.latent import parse_latent
    from engine.diffusion.requests import drive
    from engine.diffusion.samplers.registry import find_sampler
    from engine.diffusion.sampling import sample
    from engine.families.model_store import model_store_from_settings

    here = checkpoint.parent
    folders = Folders(base=here, input=here, output=here, temp=here, user=here, custom_nodes=())
    store = model_store_from_settings(Settings(folders=folders, memory=MemorySettings(device="cpu")))
    model, clip, vae = store.open_checkpoint(checkpoint)
    positive, negative = (parse_conditioning([[clip.encode(text).context, {}]]) for text in (POSITIVE, NEGATIVE))
    sigmas = discretize("normal", model.parameterization.sigma_table, STEPS)
    latent = parse_latent({"samples": torch.zeros(1, 4, SIDE, SIDE)})
    guider = Cfg(model, positive, negative, SCALE)
    samples = drive(sample(guider, find_sampler("euler"), sigmas, latent, seed=SEED))
    image = vae.decode(samples)
    return {"latent": samples * model.latent_format.scale, "image": image}


def by_diffusers(checkpoint: Path) -> dict[str, Any]:
    """diffusers' network, transformers' text encoder and an Euler loop over diffusers' scheduler."""
    warnings.simplefilter("ignore")
    from diffusers import EulerDiscreteScheduler, UNet2DConditionModel
    from safetensors import safe_open
    from transformers import CLIPTextConfig, CLIPTextModel

    from engine.families.text.tokenizer import END_TOKEN, START_TOKEN, ClipTokenizer, vocabulary_path
    from tests.parity.diffusers_names import unet_name

    tokenizer = ClipTokenizer(vocabulary_path())
    text_prefix, unet_prefix = "cond_stage_model.transformer.", "model.diffusion_model."
    with safe_open(checkpoint, "pt") as file:
        keys = [key for key in file.keys() if key.startswith(text_prefix) and "position_ids" not in key]  # noqa: SIM118
        weights = {key.removeprefix(text_prefix): file.get_tensor(key).float() for key in keys}
        encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
                hidden_act="quick_gelu", bos_token_id=START_TOKEN, eos_token_id=END_TOKEN,
            )
        ).eval()  # fmt: skip
        if not any(name.startswith("text_model.") for name in encoder.state_dict()):
            weights = {name.removeprefix("text_model."): weight for name, weight in weights.items()}
        encoder.load_state_dict(weights, strict=False)
        contexts = []
        for text in (NEGATIVE, POSITIVE.replace("(storm:1.0)", "storm")):
            ids = [START_TOKEN, *tokenizer.encode(text), END_TOKEN]
            contexts.append(encoder(torch.tensor([ids + [END_TOKEN] * (77 - len(ids))])).last_hidden_state)
        del encoder, weights
        with torch.device("meta"):
            unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
        names = set(file.keys())
        loaded = {}
        for name in unet.state_dict():
            target = unet_prefix + unet_name(name, 2)
            key = next(k for k in (target.replace("UP", "1"), target.replace("UP", "2")) if k in names)
            loaded[name] = file.get_tensor(key).float()
        unet.load_state_dict(loaded, assign=True)
        del loaded
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="linspace"
    )
    scheduler.set_timesteps(STEPS)
    noise = torch.randn(1, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(SEED))
    x = noise * (1 + scheduler.sigmas[0] ** 2) ** 0.5
    context = torch.cat(contexts)
    for step in scheduler.timesteps:
        scaled = scheduler.scale_model_input(torch.cat([x, x]), step)
        negative, positive = unet(scaled, step, context).sample.chunk(2)
        x = scheduler.step(negative + SCALE * (positive - negative), step, x).prev_sample
    return {"latent": x}


def main(who: str, checkpoint: str, result: str) -> None:
    """Make the picture and write down what it took."""
    sys.path.insert(0, str(ROOT))
    with torch.no_grad():
        answer = (by_engine if who == "engine" else by_diffusers)(Path(checkpoint))
    from tests.own_peak import own_peak_bytes

    answer["peak_bytes"] = own_peak_bytes()
    torch.save(answer, result)


if __name__ == "__main__":
    main(*sys.argv[1:])
