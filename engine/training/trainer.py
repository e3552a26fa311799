"""Running a recipe: build the model, open the data, take up what was saved, train, export."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine.core.digest import digest_value
from engine.training.checkpoints import TrainingState, newest_state
from engine.training.config.error import ConfigError
from engine.training.config.resolve import to_plain
from engine.training.context import BuildContext
from engine.training.data.batches import Batches
from engine.training.data.collate import Batch
from engine.training.data.companion import Companion
from engine.training.data.latent_encoder import AutoencoderEncoder
from engine.training.data.recipe import Data
from engine.training.data.source import OpenContext
from engine.training.diffusion_module import DiffusionModule, build_diffusion_module
from engine.training.first_stage import AutoencoderStage
from engine.training.network_export import NetworkExportRecipe, export_network
from engine.training.picture_module import PictureModule
from engine.training.prefetch import Prefetched
from engine.training.recipe import PictureModelRecipe, TrainingRecipe
from engine.training.run_folder import RunFolder
from engine.training.run_lock import held_alone
from engine.training.samples import draw_samples, save_grid
from engine.training.validation import Validation

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from engine.training.lightning_module import RunHooks

__all__ = ["RunResult", "export_run", "train"]

Module = DiffusionModule | PictureModule

_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
_KNOWN_NOISE = (
    r".*isinstance\(treespec, LeafSpec\).*",
    r"GPU available but not used.*",
    r"Found \d+ module\(s\) in eval mode at the start of training.*",
    r".*does not have many workers which may be a bottleneck.*",
    r".*torch\.distributed.*c10d.*",
    r".*barrier\(\): using the device under current context.*",
    r".*No device id is provided via `init_process_group`.*",
)
"""Lightning's warnings that say nothing about a run that is set up as ours are."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """Where a run stands. is_finished: all its steps are done. exported: the file, if one was written."""

    step: int
    is_finished: bool
    loss: float | None
    exported: Path | None
    problems: dict[str, int]


def train(
    recipe: TrainingRecipe, folder: RunFolder, root: Path, hooks: RunHooks, *, resumes: bool = False
) -> RunResult:
    """Train until the recipe's last step, or until `hooks.should_stop` or its time says so.

    Args:
        recipe: what to train.
        folder: of the run; must not hold checkpoints unless `resumes`.
        root: relative paths of the recipe are below it.
        hooks: where to tell of progress, and who may stop the run.
        resumes: go on from the newest readable checkpoint, if there is one.

    Raises ConfigError, DataError, CheckpointError; AtelierError when the loss is not finite.
    """
    from engine.training.lightning_module import TrainingRun

    _check_strategy(recipe)
    with _quiet(), _fast_matmul(), ExitStack() as held:
        trainer = _lightning_trainer(recipe)
        device = trainer.strategy.root_device
        held.enter_context(_attention_kernel(device))
        if trainer.is_global_zero:
            held.enter_context(held_alone(folder.path))
            folder.begin(to_plain(recipe), resumes=resumes)
        state = newest_state(folder.checkpoints) if resumes else None
        module = _build(recipe, root)
        _load(module, state)
        data = _open_data(recipe, module, root, device, hooks)
        step = 0 if state is None else state.step
        world = trainer.world_size
        if trainer.is_global_zero:
            folder.record_start({"step": step, "data": data.digest, "device": str(device), "world": world})
        if recipe.trainer.channels_last:
            module.use_channels_last()
        if recipe.trainer.compiles:
            module.compile()
        validation = _open_validation(recipe, data)
        showing = replace(hooks, **_pictures(recipe, folder, module, data, validation, _dtype(recipe, device)))
        num_step_examples = recipe.data.batch_size * recipe.trainer.accumulate * world
        run = TrainingRun(module, recipe, folder, showing, num_step_examples, state)
        if step < recipe.trainer.max_steps:
            trainer.fit_loop.epoch_loop.max_steps = recipe.trainer.max_steps - step
            trainer.fit(run, _batches(recipe, module, data, step, trainer))
        elif state is not None:
            _load(module, _averaged(state))
        exported = None
        if run.step >= recipe.trainer.max_steps and recipe.export is not None and trainer.is_global_zero:
            exported = folder.path / recipe.export.file
            with run.averaged():
                _write(recipe, folder, module, exported, run.step, data, validation)
    return RunResult(run.step, run.step >= recipe.trainer.max_steps, run.last_loss, exported, data.reports.counts())


def export_run(recipe: TrainingRecipe, folder: RunFolder, root: Path, path: Path) -> int:
    """Export the newest checkpoint of a run without training; returns its step. Raises ConfigError without one."""
    state = newest_state(folder.checkpoints)
    if state is None:
        raise ConfigError(f"{folder.path} holds no checkpoint.", hint="Train first.")
    if recipe.export is None:
        raise ConfigError(
            "The recipe says nothing of an export.", hint="Add export.kind=sd1, lora, embedding or checkpoint."
        )
    module = _build(recipe, root)
    _load(module, _averaged(state))
    data = recipe.data.open(OpenContext(root, recipe.seed)) if isinstance(module, PictureModule) else None
    _write(recipe, folder, module, path, state.step, data, _open_validation(recipe, data))
    return state.step


def _build(recipe: TrainingRecipe, root: Path) -> Module:
    """The module with its first weights, on the CPU."""
    context = BuildContext(root, recipe.seed)
    if isinstance(recipe.model, PictureModelRecipe):
        return recipe.model.build(context)
    return build_diffusion_module(recipe.model, context)


class _Drawing:
    """Draws grids of samples into the run folder."""

    def __init__(
        self, recipe: TrainingRecipe, folder: RunFolder, module: DiffusionModule, data: Data, dtype: torch.dtype
    ) -> None:
        self._recipe = recipe
        self._folder = folder
        self._module = module
        self._data = data
        self._dtype = dtype

    def __call__(self, step: int) -> None:
        samples = self._recipe.samples
        assert samples is not None
        batch = self._examples(samples.num) if samples.missing(self._module) else {}
        pictures = draw_samples(self._module, samples, batch, self._dtype)
        save_grid(pictures, self._folder.samples / f"step-{step:09d}.png", samples.columns)

    def _examples(self, num: int) -> Batch:
        """The first `num` examples of the run."""
        data = self._data
        batches = Batches(data.source, num, seed=data.context.seed, reports=data.reports)
        return self._module.prepare(next(iter(islice(batches, 1))))


def _lightning_trainer(recipe: TrainingRecipe) -> pl.Trainer:
    import pytorch_lightning as pl

    wanted = recipe.trainer
    # Asking for "auto" must not probe twice: the precision depends on what the accelerator turns out to be.
    has_gpu = wanted.accelerator != "cpu" and torch.cuda.is_available()
    precision = wanted.precision if wanted.precision != "auto" else ("bf16" if has_gpu else "fp32")
    return pl.Trainer(
        accelerator="cpu" if wanted.accelerator == "auto" and not has_gpu else wanted.accelerator,
        devices=wanted.devices,
        strategy=wanted.strategy,
        precision=_PRECISIONS[precision],  # type: ignore[arg-type]
        max_steps=wanted.max_steps,
        accumulate_grad_batches=wanted.accumulate,
        gradient_clip_val=recipe.optimizer.max_norm,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        inference_mode=False,
    )


def _pictures(
    recipe: TrainingRecipe,
    folder: RunFolder,
    module: Module,
    data: Data,
    validation: Validation | None,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """What makes pictures during the run, by the name of its hook."""
    if isinstance(module, DiffusionModule):
        return {"draw": _Drawing(recipe, folder, module, data, dtype)}
    if validation is None:
        return {}
    return {"validate": lambda step: validation(module, folder.samples / f"step-{step:09d}.png")}


def _open_validation(recipe: TrainingRecipe, data: Data | None) -> Validation | None:
    if recipe.validation is None or data is None:
        return None
    return Validation(recipe.validation, data.context)


def _open_data(recipe: TrainingRecipe, module: Module, root: Path, device: torch.device, hooks: RunHooks) -> Data:
    """The opened data; a cache of latents is encoded with the module's first stage on the device.

    With it is kept what the module's embedders make of pictures.
    """
    stage = module.first_stage if isinstance(module, DiffusionModule) else None
    encoder: AutoencoderEncoder | None = None
    companions: tuple[Companion, ...] = ()
    if isinstance(stage, AutoencoderStage):
        stage.to(device)
        form = stage.latent_format
        dtype = _dtype(recipe, device)
        digest = digest_value([stage.digest, str(dtype)])
        encoder = AutoencoderEncoder(stage.autoencoder, digest, form.scale, form.shift, stage.recipe.samples, dtype)
        assert isinstance(module, DiffusionModule)
        made = (embedder.companion(encoder) for embedder in module.conditioner.parts)
        companions = tuple(companion for companion in made if companion is not None)

    def progress(title: str, num_done: int, num_total: int) -> None:
        hooks.show(f"{title}  {num_done}/{num_total}")

    context = OpenContext(root, recipe.seed, encoder=encoder, companions=companions, progress=progress)
    return recipe.data.open(context, device)


def _batches(recipe: TrainingRecipe, module: Module, data: Data, step: int, trainer: pl.Trainer) -> Prefetched:
    """This rank's batches from the step on."""
    source = data.batches(
        step * recipe.trainer.accumulate,
        rank=trainer.global_rank,
        world=trainer.world_size,
        pin_memory=trainer.strategy.root_device.type == "cuda",
    )
    return Prefetched(source, module.prepare)


@torch.no_grad()
def _load(module: Module, state: TrainingState | None) -> None:
    """The saved weights into the module. Raises ConfigError when they are of another model."""
    if state is None:
        return
    parameters = module.trained_parameters()
    if parameters.keys() != state.weights.keys():
        raise ConfigError(
            "The checkpoint's weights have other names than the model's.", hint="Resume with the run's own config.yaml."
        )
    for name, parameter in parameters.items():
        parameter.copy_(state.weights[name])


def _averaged(state: TrainingState) -> TrainingState:
    """The state with its averaged weights as its weights, if there is an average."""
    return state if state.ema is None else replace(state, weights=state.ema)


def _write(
    recipe: TrainingRecipe,
    folder: RunFolder,
    module: Module,
    path: Path,
    step: int,
    data: Data | None,
    validation: Validation | None,
) -> None:
    """Export the module as it is; what is measured on the way goes to the run's report."""
    assert recipe.export is not None
    facts = _facts(recipe, step)
    if isinstance(recipe.export, NetworkExportRecipe):
        assert isinstance(module, PictureModule)
        assert data is not None
        batches = data.batches() if validation is None else validation.batches(recipe.export.num_measured)
        measured = export_network(module, recipe.export, path, facts, batches)
        folder.report({"step": step, "exported": path.name, **measured})
    else:
        assert isinstance(module, DiffusionModule)
        recipe.export.write(module, path, facts)


def _facts(recipe: TrainingRecipe, step: int) -> dict[str, str]:
    return {"atelier.steps": str(step), "atelier.seed": str(recipe.seed)}


def _dtype(recipe: TrainingRecipe, device: torch.device) -> torch.dtype:
    wanted = recipe.trainer.precision
    return torch.bfloat16 if wanted == "bf16" or (wanted == "auto" and device.type == "cuda") else torch.float32


def _check_strategy(recipe: TrainingRecipe) -> None:
    strategy = recipe.trainer.strategy
    if strategy != "auto" and not strategy.startswith("ddp"):
        raise ConfigError(
            f"trainer.strategy is {strategy!r}; a run needs whole weights on every device.",
            hint="Use auto, ddp, or a variant of ddp.",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Lightning always says: its adverts, device list and hints that do not apply."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for pattern in _KNOWN_NOISE:
            warnings.filterwarnings("ignore", pattern)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _fast_matmul() -> Iterator[None]:
    """What stays float32 on a GPU may use its tensor cores with 10-bit mantissas; no effect on a CPU."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _attention_kernel(device: torch.device) -> AbstractContextManager[None]:
    """On a CPU the backward pass of torch's fused attention takes longer than that of its plain products.

    For the whole run, since activations that are computed again must come from the same kernel.
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
