"""One side of a comparison in a process of its own: loads a model, times forwards and decodes, tells its peak memory.

Run as a script: `model_side.py atelier CHECKPOINT RESULT SIZE STEPS` or `model_side.py diffusers FOLDER RESULT …`, the
folder being the same model as diffusers has it. The result is a JSON file; times are in seconds, by the clock and of
all processors.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
BATCH = 2
"""The positive and the negative text of one picture."""

TOKENS, SEED = 77, 1


Call = Callable[[torch.Tensor], Any]


def by_atelier(source: Path) -> tuple[float, Call, Call]:
    """When it began, imports not counted; a forward and a decode, with the settings a worker starts with."""
    from engine.core.folders import Folders
    from engine.core.settings import Settings
    from engine.diffusion.condition_inputs import ConditionInputs
    from engine.families.model_store import model_store_from_settings

    start = time.perf_counter()
    here = Path(tempfile.mkdtemp())
    folders = Folders(base=here, input=here, output=here, temp=here, user=here, custom_nodes=())
    model, _, vae = model_store_from_settings(Settings(folders=folders)).open_checkpoint(source)
    config = model.form.config
    context = torch.zeros(BATCH, TOKENS, model.context_width, device=model.device)
    vector = torch.zeros(BATCH, config.vector_width, device=model.device) if config.vector_width else None
    inputs = ConditionInputs(context=context, vector=vector)
    sigma = torch.full((BATCH,), 1.0, device=model.device)
    return start, (lambda x: model.denoise(x.to(model.device), sigma, inputs)), vae.decode


def by_diffusers(source: Path) -> tuple[float, Call, Call]:
    """The same with diffusers' own loading, in the precision its pages advise for the device."""
    warnings.simplefilter("ignore")
    from diffusers import AutoencoderKL, UNet2DConditionModel

    start = time.perf_counter()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float16 if device == "cuda" else torch.float32
    network = UNet2DConditionModel.from_pretrained(source, subfolder="unet", torch_dtype=dtype).to(device)
    vae = AutoencoderKL.from_pretrained(source, subfolder="vae", torch_dtype=torch.float32).to(device)
    context = torch.zeros(BATCH, TOKENS, network.config.cross_attention_dim, device=device, dtype=dtype)
    added = {}
    if network.config.addition_embed_type == "text_time":
        width = network.config.projection_class_embeddings_input_dim - 6 * network.config.addition_time_embed_dim
        times = torch.zeros(BATCH, 6, device=device, dtype=dtype)
        added = {"text_embeds": torch.zeros(BATCH, width, device=device, dtype=dtype), "time_ids": times}

    def forward(x: torch.Tensor) -> Any:
        return network(x.to(device, dtype), 500, context, added_cond_kwargs=added).sample.float().cpu()

    def decode(latent: torch.Tensor) -> Any:
        return vae.decode(latent.to(device, torch.float32) / vae.config.scaling_factor).sample.cpu()

    return start, forward, decode


def timed(call: Callable[[], Any], processor_s: list[float] | None = None) -> float:
    """Seconds of a call, the device's work included; those of the processors are added to a list."""
    start, worked = time.perf_counter(), time.process_time()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    if processor_s is not None:
        processor_s.append(time.process_time() - worked)
    return time.perf_counter() - start


def main(side: str, source: str, result: str, size: str, steps: str) -> None:
    """Measure one side and write down what it took."""
    sys.path.insert(0, str(ROOT))
    cells = int(size) // 8
    x = torch.randn(BATCH, 4, cells, cells, generator=torch.Generator().manual_seed(SEED))
    record: dict[str, Any] = {"step_processor_s": [], "decode_processor_s": []}
    with torch.inference_mode():
        start, forward, decode = (by_atelier if side == "atelier" else by_diffusers)(Path(source))
        first_s = timed(lambda: forward(x))
        record["ready_s"] = time.perf_counter() - start
        record["step_s"] = [timed(lambda: forward(x), record["step_processor_s"]) for _ in range(int(steps))]
        record["load_s"] = record["ready_s"] - sorted(record["step_s"])[len(record["step_s"]) // 2]
        record["first_s"] = first_s
        timed(lambda: decode(x[:1]))
        record["decode_s"] = [timed(lambda: decode(x[:1]), record["decode_processor_s"]) for _ in range(2)]
    from tests.own_peak import own_peak_bytes

    record["peak_bytes"] = own_peak_bytes()
    if torch.cuda.is_available():
        record["device_bytes"] = torch.cuda.max_memory_allocated()
    Path(result).write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
