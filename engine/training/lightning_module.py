"""The run as PyTorch Lightning sees it. Imported when a run starts, since Lightning is heavy."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from engine.core.errors import AtelierError
from engine.training.checkpoints import TrainingState, save_state
from engine.training.data.collate import Batch
from engine.training.diffusion_module import DiffusionModule
from engine.training.ema import Ema
from engine.training.metrics import MetricsLog
from engine.training.optimizer import ParameterSet
from engine.training.picture_module import PictureModule
from engine.training.progress import Meter
from engine.training.recipe import TrainingRecipe
from engine.training.run_folder import RunFolder

__all__ = ["RunHooks", "TrainingRun"]


@dataclass(frozen=True, slots=True)
class RunHooks:
    """What a run tells and asks while it goes on.

    show: a line that replaces the one before. note: a line that stays. should_stop: end the run after this step.
    draw: make a grid of samples; called with the averaged weights in place. validate: figures for held-out pictures,
    called likewise. started: the first step is about to begin.
    """

    show: Callable[[str], None] = field(default=lambda text: None)
    note: Callable[[str], None] = field(default=lambda text: None)
    should_stop: Callable[[], bool] = field(default=lambda: False)
    draw: Callable[[int], None] = field(default=lambda step: None)
    validate: Callable[[int], Mapping[str, float]] = field(default=lambda step: {})
    started: Callable[[], None] = field(default=lambda: None)


class TrainingRun(pl.LightningModule):
    """One run of a module: its step, moving average, learning rate, and all that happens every so many steps.

    step: optimizer steps done since the run's very beginning.
    """

    def __init__(
        self,
        module: DiffusionModule | PictureModule,
        recipe: TrainingRecipe,
        folder: RunFolder,
        hooks: RunHooks,
        num_step_examples: int,
        state: TrainingState | None,
    ) -> None:
        super().__init__()
        self.module = module
        self.recipe = recipe
        self.folder = folder
        self.hooks = hooks
        self.num_step_examples = num_step_examples
        self.step = 0 if state is None else state.step
        self.ema: Ema | None = None
        self.last_loss: float | None = None
        self._state = state
        self._saved_step = self.step
        self._meter = Meter(self.step, recipe.trainer.max_steps, num_step_examples)
        self._metrics: MetricsLog | None = None
        self._losses: Tensor | None = None
        self._num_losses = 0
        self._started = time.monotonic()

    # ------------------------------------------------------------------ one step

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one micro-batch."""
        loss = self.module.loss(batch, self.num_step_examples)
        value = loss.detach()
        self._losses = value if self._losses is None else self._losses + value
        self._num_losses += 1
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over what is learned."""
        return self.recipe.optimizer.build_for(self._parameter_sets)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Scale down the gradients of each set of parameters by itself.

        Not through Lightning, which refuses to clip for a fused optimizer: with float16 it would see scaled gradients.
        """
        if gradient_clip_val is not None:
            for parameters in self._parameter_sets:
                torch.nn.utils.clip_grad_norm_(parameters.parameters, gradient_clip_val)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Update the weights at this step's rate, then their average."""
        rate = self.recipe.optimizer.rate(self.step, self.recipe.trainer.max_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("rate_factor", 1.0)
        optimizer.step(closure=optimizer_closure)
        if self.ema is not None:
            self.ema.update(self.step)
        self.step += 1

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Tensors go to the device; texts and numbers stay."""
        return {
            key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for key, value in batch.items()
        }

    # ------------------------------------------------------------------ around the steps

    def on_train_start(self) -> None:
        """Take up the saved state, now that the weights are on their device and the optimizer is there."""
        if self.recipe.ema is not None:
            self.ema = Ema(self.recipe.ema, self.module.trained_parameters())
        if self._state is not None:
            self._optimizer.load_state_dict(self._state.optimizer)  # type: ignore[arg-type]
            if self.ema is not None and self._state.ema is not None:
                self.ema.load(self._state.ema)
            self._state = None
        if self.trainer.is_global_zero:
            self._metrics = MetricsLog(self.folder)
        self._started = time.monotonic()
        self.hooks.started()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After the last micro-batch of a step: log, draw, save, stop, each when it is due."""
        recipe, step = self.recipe.trainer, self.step
        if (batch_idx + 1) % recipe.accumulate:
            return
        is_last = step >= recipe.max_steps
        is_logged = is_last or step % recipe.log_every == 0
        self._meter.warm(step)
        if is_logged:
            self._log()
        if self.recipe.samples is not None and (is_last or step % self.recipe.samples.every_steps == 0):
            self._draw()
        if self.recipe.validation is not None and (is_last or step % self.recipe.validation.every_steps == 0):
            self._validate()
        if is_last or step % recipe.checkpoint_every == 0:
            self.save()
        if (self.trainer.world_size == 1 or is_logged) and self._wants_to_stop():
            self.trainer.should_stop = True

    def on_train_end(self) -> None:
        """However the run ended, what was reached is saved."""
        if self.step > self._saved_step:
            self.save()
        if self._metrics is not None:
            self._metrics.close()

    def save(self) -> None:
        """Write a checkpoint, on the first device."""
        self._saved_step = self.step
        if not self.trainer.is_global_zero:
            return
        weights = {name: p.detach().cpu().contiguous() for name, p in self.module.trained_parameters().items()}
        ema = None if self.ema is None else {name: shadow.cpu() for name, shadow in self.ema.state().items()}
        state = TrainingState(self.step, weights, ema, self._optimizer.state_dict())
        save_state(self.folder.checkpoints, state, keeps=self.recipe.trainer.keep_checkpoints)

    @property
    def _parameter_sets(self) -> Sequence[ParameterSet]:
        if isinstance(self.module, PictureModule):
            return self.module.parameter_sets()
        return (ParameterSet(tuple(self.module.trained_parameters().values())),)

    @property
    def _optimizer(self) -> torch.optim.Optimizer:
        return self.trainer.optimizers[0]

    def _log(self) -> None:
        """Read the mean loss since the last time; the only place where the host waits for the device."""
        assert self._losses is not None
        mean = self.trainer.strategy.reduce(self._losses / self._num_losses, reduce_op="mean")
        self._losses, self._num_losses = None, 0
        loss = self.last_loss = float(mean)
        if loss != loss or abs(loss) == float("inf"):
            raise AtelierError(
                f"The loss is {loss} at step {self.step}.",
                code="training_diverged",
                hint="Lower optimizer.learning_rate or set optimizer.max_norm=1, and go on from the last checkpoint.",
            )
        rate = self.recipe.optimizer.rate(self.step - 1, self.recipe.trainer.max_steps)
        reading = self._meter.read(self.step, loss, rate)
        if self._metrics is not None:
            parts = {name: float(part) for name, part in self.module.measurements.items()}
            self._metrics.write(self.step, {**reading.metrics, **parts})
            self.hooks.show(reading.line)

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the module has its averaged weights, if there is an average."""
        return nullcontext() if self.ema is None else self.ema.swapped_in()

    def _draw(self) -> None:
        if self.trainer.is_global_zero:
            with self.averaged():
                self.hooks.draw(self.step)

    def _validate(self) -> None:
        if not self.trainer.is_global_zero:
            return
        with self.averaged():
            figures = self.hooks.validate(self.step)
        if self._metrics is not None:
            self._metrics.write(self.step, figures)
        words = "  ".join(f"{name.removeprefix('validation_')} {value:.2f}" for name, value in figures.items())
        self.hooks.note(f"step {self.step}  {words}")

    def _wants_to_stop(self) -> bool:
        limit = self.recipe.trainer.max_seconds
        is_over = limit is not None and time.monotonic() - self._started >= limit
        return self.trainer.strategy.reduce_boolean_decision(is_over or self.hooks.should_stop(), all=False)
