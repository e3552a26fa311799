"""The model store a worker builds from its settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.core.errors import SettingsError
from engine.core.folders import Folders, default_model_folders
from engine.core.settings import MemorySettings, PrecisionSettings, Settings
from engine.families.model_store import hosts_from_settings, model_store_from_settings
from engine.memory.residency import MemoryMode
from tests.tiny_sd1 import tiny_checkpoint


def settings(folder: Path, **changes: object) -> Settings:
    models = default_model_folders(folder / "models", folder / "output", ())
    folders = Folders(folder, folder, folder / "output", folder, folder / "user", (), models)
    return Settings(folders=folders, **{"memory": MemorySettings(device="cpu"), **changes})  # type: ignore[arg-type]


def test_all_parts_share_one_device_and_budget(tmp_path: Path) -> None:
    hosts = hosts_from_settings(settings(tmp_path, memory=MemorySettings(device="cpu", max_ram_bytes=123)))
    assert len({id(host) for host in hosts.values()}) == 1
    assert hosts["network"].budget_bytes == 123
    assert hosts["network"].mode is MemoryMode.KEEP


@pytest.mark.parametrize("plan", ["low", "none"])
def test_the_low_memory_plans_stream(tmp_path: Path, plan: str) -> None:
    hosts = hosts_from_settings(settings(tmp_path, memory=MemorySettings(plan=plan, device="cpu")))
    assert hosts["network"].mode is MemoryMode.STREAM


def test_on_the_cpu_the_smaller_of_both_limits_binds(tmp_path: Path) -> None:
    for vram, ram, reserved, budget in (
        (100, 300, 0, 100),
        (300, 100, 0, 100),
        (None, 100, 30, 70),
        (100, None, 0, 100),
    ):
        memory = MemorySettings(device="cpu", max_vram_bytes=vram, max_ram_bytes=ram, reserve_vram_bytes=reserved)
        assert hosts_from_settings(settings(tmp_path, memory=memory))["network"].budget_bytes == budget


@pytest.mark.parametrize(("plan", "is_kept"), [("auto", False), ("normal", False), ("high", True), ("gpu_only", True)])
def test_the_high_memory_plans_keep_what_runs_once_a_picture(tmp_path: Path, plan: str, is_kept: bool) -> None:
    store = model_store_from_settings(settings(tmp_path, memory=MemorySettings(plan=plan, device="cpu")))
    clip = store.open_checkpoint(tiny_checkpoint(tmp_path))[1]
    clip.encode("a fox")
    (device,) = store.memory_story(0)["devices"]
    assert [network["moved_bytes"] == 0 for network in device["networks"]] == [is_kept]


def test_the_cpu_plan_uses_the_cpu(tmp_path: Path) -> None:
    hosts = hosts_from_settings(settings(tmp_path, memory=MemorySettings(plan="cpu", device="nonsense")))
    assert {host.device.kind for host in hosts.values()} == {"cpu"}


def test_requested_dtypes_reach_the_parts(tmp_path: Path) -> None:
    host = hosts_from_settings(settings(tmp_path, precision=PrecisionSettings(vae="bfloat16")))["vae"]
    assert host.precision.compute_dtype("vae", host.device) is torch.bfloat16
    assert host.precision.compute_dtype("network", host.device) is torch.float32


def test_an_unknown_device_or_dtype_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nonsense"):
        hosts_from_settings(settings(tmp_path, memory=MemorySettings(device="nonsense")))
    with pytest.raises(SettingsError, match="int4"):
        hosts_from_settings(settings(tmp_path, precision=PrecisionSettings(network="int4")))


def test_embeddings_are_found_in_the_models_folder(tmp_path: Path) -> None:
    store = model_store_from_settings(settings(tmp_path))
    clip = store.open_checkpoint(tiny_checkpoint(tmp_path))[1]
    (tmp_path / "models" / "embeddings").mkdir(parents=True)
    save_file({"emb_params": torch.ones(2, 32)}, tmp_path / "models" / "embeddings" / "two.safetensors")
    warnings: list[str] = []
    (chunk,) = clip.tokenize("embedding:two x", warn=warnings.append)["l"]
    assert [tuple(entry[0].shape) for entry in chunk[1:3]] == [(32,), (32,)]
    assert warnings == []


def test_pickled_checkpoints_are_converted_into_the_server_s_own_folder(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    torch.save({"state_dict": load_file(tiny_checkpoint(tmp_path))}, tmp_path / "tiny.ckpt")
    store = model_store_from_settings(settings(tmp_path))
    model, _, _ = store.open_checkpoint(tmp_path / "tiny.ckpt")
    assert model.family == "sd1"
    assert len(list((tmp_path / "user" / ".atelier" / "converted").iterdir())) == 1
