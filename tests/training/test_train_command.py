"""`main.py train`, called in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from engine.command.train import main
from engine.core.errors import AtelierError, SettingsError
from engine.training.config.error import ConfigError
from engine.training.run_folder import RunFolder
from tests.training.tiny_recipes import CLASS_RECIPE

torch.set_num_threads(1)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "configs" / "training"
    folder.mkdir(parents=True)
    (folder / "small.yaml").write_text(
        yaml.safe_dump({**CLASS_RECIPE, "trainer": {"max_steps": 3, "accelerator": "cpu"}})
    )
    (folder / "shorter.yaml").write_text("trainer: {max_steps: 1}\n")
    return tmp_path


def test_recipes_by_name_merge_and_a_run_gets_the_next_free_folder(small: Path, capsys) -> None:
    assert main(small, ["small", "shorter", "optimizer.learning_rate=5e-5"]) == 0
    assert main(small, ["--base", "small", "shorter", "optimizer.learning_rate=5e-5"]) == 0
    runs = small / "output" / "training"
    assert sorted(path.name for path in runs.iterdir()) == ["shorter-001", "shorter-002"]
    config = RunFolder(runs / "shorter-001").config
    assert (config["trainer"]["max_steps"], config["optimizer"]["learning_rate"]) == (1, 5e-5)
    assert config == RunFolder(runs / "shorter-002").config
    assert f"{runs / 'shorter-001'}: step 1, finished" in capsys.readouterr().out


def test_a_run_stops_when_its_time_is_over_and_goes_on_without_naming_the_recipe_again(small: Path, capsys) -> None:
    run = small / "run"
    assert main(small, ["small", "--run", str(run), "trainer.max_seconds=0"]) == 3
    assert "step 1, stopped; continue it with --resume" in capsys.readouterr().out
    assert main(small, ["--run", str(run), "--resume", "trainer.max_seconds=null", "trainer.log_every=1"]) == 0
    assert "step 3, finished" in capsys.readouterr().out
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == [2, 3]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Which run"),
        (["--run", "nowhere"], "No recipe was named"),
        (["nosuch"], "nosuch cannot be read"),
        (["small", "trainer.max_stepz=1"], r"trainer\.max_stepz is not a known key"),
        (["small", "--rum", "x"], "no flag --rum"),
        (["small", "--export", "x.safetensors"], "holds no checkpoint"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_sentence(arguments: list[str], words: str, small: Path) -> None:
    with pytest.raises(SettingsError, match=words):
        main(small, arguments)
    assert not (small / "output").exists()


def test_an_export_needs_a_recipe_for_it(small: Path) -> None:
    run = small / "run"
    main(small, ["small", "shorter", "--run", str(run)])
    with pytest.raises(ConfigError, match="nothing of an export"):
        main(small, ["--run", str(run), "--export", str(small / "x.safetensors")])


def test_a_broken_checkpoint_folder_is_told(small: Path) -> None:
    run = small / "run"
    main(small, ["small", "shorter", "--run", str(run)])
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(AtelierError, match="can be read"):
        main(small, ["--run", str(run), "--resume"])
