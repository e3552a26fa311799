"""Whole runs of a small recipe, in this process."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from engine.core.errors import AtelierError
from engine.training.checkpoints import newest_state
from engine.training.config.error import ConfigError
from engine.training.config.resolve import to_plain
from engine.training.context import BuildContext
from engine.training.diffusion_module import DiffusionModule
from engine.training.run_folder import RunFolder
from tests.training.tiny_recipes import recipe, run

torch.set_num_threads(1)


def final(folder: Path):
    state = newest_state(folder / "checkpoints")
    assert state is not None
    return state


def assert_equal(first: Path, second: Path) -> None:
    one, two = final(first), final(second)
    assert one.step == two.step
    for name in one.weights:
        assert torch.equal(one.weights[name], two.weights[name]), name
        assert torch.equal(one.ema[name], two.ema[name]), name
    for number, state in one.optimizer["state"].items():
        for key, value in state.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(two.optimizer["state"][number][key]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    assert run(folder, recipe()).is_finished
    return folder


def test_a_run_leaves_its_recipe_metrics_and_newest_checkpoints(finished: Path) -> None:
    folder = RunFolder(finished)
    assert folder.config["optimizer"]["betas"] == [0.9, 0.999]
    metrics = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in metrics] == [2, 4, 6]
    assert metrics[0]["learning_rate"] == pytest.approx(1e-3)
    start = json.loads((finished / "run.jsonl").read_text())
    assert start["versions"]["torch"] == torch.__version__
    assert len(start["data"]) == 40
    names = sorted(path.name for path in folder.checkpoints.iterdir())
    assert names == ["step-000000004.ckpt", "step-000000006.ckpt"]
    assert next((finished / "tensorboard").iterdir()).name.startswith("events")


def test_the_same_recipe_gives_the_same_weights(finished: Path, tmp_path: Path) -> None:
    run(tmp_path, recipe())
    assert_equal(finished, tmp_path)


@pytest.mark.parametrize("steps", [1, 3])
def test_a_stopped_run_goes_on_to_the_weights_of_an_uninterrupted_one(
    steps: int, finished: Path, tmp_path: Path
) -> None:
    asked = iter([False] * (steps - 1) + [True])
    stopped = run(tmp_path, recipe(), should_stop=lambda: next(asked))
    assert (stopped.step, stopped.is_finished) == (steps, False)
    assert run(tmp_path, recipe(), resumes=True).is_finished
    assert_equal(finished, tmp_path)


def test_a_damaged_newest_checkpoint_is_passed_over(finished: Path, tmp_path: Path, caplog) -> None:
    asked = iter([False] * 3 + [True])
    run(tmp_path, recipe("trainer.checkpoint_every=2"), should_stop=lambda: next(asked))
    newest = max((tmp_path / "checkpoints").glob("*.ckpt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    assert final(tmp_path).step == 2
    assert "taking the one before" in caplog.text
    assert run(tmp_path, recipe(), resumes=True).is_finished
    assert_equal(finished, tmp_path)


def test_checkpoints_that_are_all_damaged_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "step-000000004.ckpt").write_bytes(b"nothing")
    with pytest.raises(AtelierError, match="None of the 1 checkpoint"):
        newest_state(tmp_path)


def test_accumulated_micro_batches_equal_the_batch_they_divide(tmp_path: Path) -> None:
    # With a large eps a step is proportional to the gradient; otherwise Adam shows the rounding of tiny ones as steps.
    common = ("trainer.max_steps=3", "optimizer.eps=0.01")
    run(tmp_path / "whole", recipe("data.batch_size=8", *common))
    run(tmp_path / "parts", recipe("data.batch_size=2", "trainer.accumulate=4", *common))
    run(tmp_path / "other", recipe("data.batch_size=8", "model.offset_noise=0.5", *common))
    whole, parts, other = (final(tmp_path / name).weights for name in ("whole", "parts", "other"))

    def distance(found: dict[str, torch.Tensor]) -> float:
        return max(float((found[name] - weight).abs().max()) for name, weight in whole.items())

    assert distance(parts) < 1e-7 < 1e-5 < distance(other)


def test_an_accumulating_run_goes_on_exactly(tmp_path: Path) -> None:
    wanted = recipe("data.batch_size=2", "trainer.accumulate=2", "trainer.max_steps=4")
    run(tmp_path / "whole", wanted)
    asked = iter([True])
    run(tmp_path / "parts", wanted, should_stop=lambda: next(asked))
    run(tmp_path / "parts", wanted, resumes=True)
    assert_equal(tmp_path / "whole", tmp_path / "parts")


def test_worker_processes_change_nothing(finished: Path, tmp_path: Path) -> None:
    run(tmp_path, recipe("data.num_workers=1"))
    assert_equal(finished, tmp_path)


def test_a_folder_that_holds_a_run_is_not_overwritten(finished: Path) -> None:
    with pytest.raises(ConfigError, match="holds a run already") as caught:
        run(finished, recipe())
    assert "--resume" in caught.value.hint


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    refused = []

    def try_again() -> None:
        with pytest.raises(ConfigError, match="Another process is training") as caught:
            run(tmp_path, recipe(), resumes=True)
        refused.append(caught.value.code)

    run(tmp_path, recipe("trainer.max_steps=1"), started=try_again)
    assert refused == ["bad_config"]
    assert run(tmp_path, recipe("trainer.max_steps=1"), resumes=True).is_finished


def test_a_run_is_not_continued_with_another_model_or_rate(finished: Path) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.learning_rate"):
        run(finished, recipe("optimizer.learning_rate=0.5"), resumes=True)
    assert run(finished, recipe("trainer.log_every=1"), resumes=True).step == 6


def test_a_run_stops_when_its_time_is_over_and_can_go_on(tmp_path: Path) -> None:
    result = run(tmp_path, recipe("trainer.max_seconds=0"))
    assert (result.step, result.is_finished, final(tmp_path).step) == (1, False, 1)


def test_bf16_computes_close_to_fp32_and_keeps_float32_weights(finished: Path, tmp_path: Path) -> None:
    run(tmp_path, recipe("trainer.precision=bf16"))
    found, wanted = final(tmp_path), final(finished)
    differences = [float((found.weights[name] - w).abs().max()) for name, w in wanted.weights.items()]
    assert {w.dtype for w in found.weights.values()} == {torch.float32}
    assert 0 < max(differences) < 0.01


def test_gradients_are_scaled_down_to_the_largest_norm_in_bf16_too(tmp_path: Path) -> None:
    # With this eps a step is the rate times the gradient over eps.
    optimizer = {
        "learning_rate": 1e3,
        "eps": 1e3,
        "weight_decay": 0.0,
        "max_norm": 1e-3,
        "schedule": {"kind": "constant"},
    }
    run(tmp_path, recipe("trainer.max_steps=1", "trainer.precision=bf16", over={"optimizer": optimizer}))
    start = DiffusionModule(recipe().model, BuildContext(tmp_path, 3)).trained_parameters()
    moved = [(start[name].detach() - weight).square().sum() for name, weight in final(tmp_path).weights.items()]
    assert float(sum(moved) ** 0.5) == pytest.approx(1e-3, rel=0.02)


def test_recomputed_activations_change_nothing(finished: Path, tmp_path: Path) -> None:
    run(tmp_path, recipe("model.network.uses_checkpointing=true"))
    assert_equal(finished, tmp_path)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(AtelierError, match="The loss is") as caught:
        run(tmp_path, recipe("optimizer.learning_rate=1e30", "optimizer.schedule.kind=constant"))
    assert caught.value.code == "training_diverged"


def test_samples_are_drawn_as_a_grid_without_changing_the_run(finished: Path, tmp_path: Path) -> None:
    samples = {"size": [8, 8], "every_steps": 3, "num": 3, "columns": 2, "steps": 2, "classes": [1, 2], "guidance": 2.0}
    run(tmp_path, recipe(over={"samples": samples}))
    assert sorted(p.name for p in (tmp_path / "samples").iterdir()) == ["step-000000003.png", "step-000000006.png"]
    with Image.open(tmp_path / "samples" / "step-000000006.png") as grid:
        assert grid.size == (16, 16)
    assert_equal(finished, tmp_path)


def test_conditions_that_the_recipe_does_not_say_are_taken_from_the_data(tmp_path: Path) -> None:
    samples = {"size": [8, 8], "every_steps": 100, "num": 3, "columns": 3, "steps": 1}
    run(tmp_path, recipe("trainer.max_steps=1", over={"samples": samples}))
    with Image.open(tmp_path / "samples" / "step-000000001.png") as grid:
        assert grid.size == (24, 8)


def test_problems_of_the_recipe_are_told_with_the_key_to_change(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="vector of width 8, the network takes 0") as caught:
        run(tmp_path / "a", recipe("model.network.vector_width=null"))
    assert "model.network.vector_width=8" in caught.value.hint
    with pytest.raises(ConfigError, match="neither 'latent' nor 'picture'"):
        run(tmp_path / "b", recipe("model.input_key=picture"))
    with pytest.raises(ConfigError, match="whole weights"):
        run(tmp_path / "c", recipe("trainer.strategy=fsdp"))


def test_a_run_learns(tmp_path: Path) -> None:
    changes = ("trainer.max_steps=30", "trainer.log_every=5", "data.source.num_items=4", "optimizer.learning_rate=5e-3")
    result = run(tmp_path, recipe(*changes))
    first = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])["loss"]
    assert result.loss < 0.9 * first


def test_the_recipe_written_out_resolves_to_itself() -> None:
    wanted = recipe()
    assert recipe(over=to_plain(wanted)) == wanted
    assert replace(wanted, seed=4) != wanted
