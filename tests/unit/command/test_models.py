"""`main.py models`: what it says of files, and the files it writes."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.command.models import main
from engine.core.errors import CheckpointError, SettingsError
from tests.tiny_families import layout_file
from tests.tiny_sd1 import shallow_checkpoint

torch.set_num_threads(1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An installation with a checkpoint, a LoRA and a pickle."""
    folders = tmp_path / "models"
    for name in ("checkpoints", "loras", "vae"):
        (folders / name).mkdir(parents=True)
    shallow_checkpoint(folders / "checkpoints")
    lora = {
        "lora_unet_x_attn2_to_k.lora_up.weight": torch.ones(8, 2),
        "lora_unet_x_attn2_to_k.lora_down.weight": torch.ones(2, 768),
    }
    save_file(lora, folders / "loras" / "style.safetensors", {"sshs_model_hash": "0" * 64})
    torch.save({"state_dict": {"a.weight": torch.ones(3)}}, folders / "vae" / "old.ckpt")
    return tmp_path


def run(root: Path, capsys: pytest.CaptureFixture[str], *words: str):
    assert main(root, [*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_list_names_every_file_with_its_family_kind_size_and_dtype(root: Path, capsys) -> None:
    rows = {row["name"]: row for row in run(root, capsys, "list")}
    assert {name: (r["folder"], r["family"], r["kind"], r["dtype"]) for name, r in rows.items()} == {
        "shallow.safetensors": ("checkpoints", "sd1", "checkpoint", "F32"),
        "style.safetensors": ("loras", None, "adapter", "F32"),
        "old.ckpt": ("vae", None, "pickle", ""),
    }
    path = root / "models" / "checkpoints" / "shallow.safetensors"
    assert rows["shallow.safetensors"]["size_bytes"] == path.stat().st_size
    assert main(root, ["list", "checkpoints"]) == 0
    assert [line.split()[:4] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["checkpoints", "shallow.safetensors", "sd1", "checkpoint"]
    ]


def test_info_tells_parts_prediction_and_keys_that_nothing_explains(root: Path, capsys) -> None:
    facts = run(root, capsys, "info", "shallow")
    assert (facts["family"], facts["kind"], facts["problem"], facts["unexplained"]) == ("sd1", "checkpoint", None, [])
    assert [part["name"] for part in facts["parts"]] == ["network", "text encoder", "autoencoder"]
    assert facts["prediction"].startswith("eps, noise levels 0.029")
    path = root / "models" / "checkpoints" / "shallow.safetensors"
    tensors = {**load_file(path), "v_pred": torch.zeros(0), "surprise.weight": torch.zeros(2)}
    save_file(tensors, path.with_name("odd.safetensors"), {"modelspec.title": "Odd"})
    facts = run(root, capsys, "info", "checkpoints/odd.safetensors")
    assert (facts["unexplained"], facts["metadata"]["modelspec.title"]) == (["surprise.weight"], "Odd")
    assert "nothing is known to use" in facts["problem"]
    assert "Stable Diffusion 1" in run(root, capsys, "info", "style.safetensors")["description"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("clip-vision-vit-h", "image encoder"),
        ("t2i-adapter-sd15-style", "style adapter"),
        ("hypernetwork-sd15", "hypernetwork"),
        ("realesrgan-x4plus", "upscaler"),
        ("clip-g", "text encoder"),
        ("vae-kl-diffusers", "autoencoder"),
        ("unet-sdxl-diffusers", "network"),
    ],
)
def test_published_files_of_one_part_are_told_by_their_kind_and_fully_explained(
    name: str, kind: str, tmp_path: Path, capsys
) -> None:
    facts = run(tmp_path, capsys, "info", str(layout_file(name, tmp_path)))
    assert (facts["kind"], facts["problem"], facts["unexplained"]) == (kind, None, [])


def test_hashes_are_those_of_the_file_and_of_its_data(root: Path, capsys) -> None:
    path = root / "models" / "loras" / "style.safetensors"
    save_file({"w": torch.arange(1 << 19).float()}, root / "models" / "vae" / "large.safetensors")
    raw = path.read_bytes()
    data = raw[8 + int.from_bytes(raw[:8], "little") :]
    found = run(root, capsys, "hash", "style", "large")
    assert found[str(path)] == {
        "sha256": hashlib.sha256(raw).hexdigest(),
        "autov2": hashlib.sha256(raw).hexdigest()[:10],
        "tensor_data": hashlib.sha256(data).hexdigest(),
        "autov1": hashlib.sha256(b"").hexdigest()[:8],
        "stated": {"sshs_model_hash": "0" * 64},
        "stated_is_true": False,
    }
    large = (root / "models" / "vae" / "large.safetensors").read_bytes()
    legacy = hashlib.sha256(large[0x100000:0x110000]).hexdigest()[:8]
    assert found[str(root / "models" / "vae" / "large.safetensors")]["autov1"] == legacy


def test_a_pickle_becomes_a_safetensors_file_and_nothing_is_replaced_unasked(root: Path, capsys) -> None:
    target = root / "new.safetensors"
    assert run(root, capsys, "convert", "old.ckpt", str(target))["path"] == str(target)
    assert torch.equal(load_file(target)["a.weight"], torch.ones(3))
    with pytest.raises(SettingsError, match="exists"):
        main(root, ["convert", "old.ckpt", str(target)])
    with pytest.raises(SettingsError, match="neither a safetensors file nor a folder"):
        main(root, ["convert", "old.ckpt", str(root / "new.ckpt")])
    assert main(root, ["convert", "old.ckpt", str(target), "--force"]) == 0


@pytest.mark.parametrize(("ema", "keys", "value"), [("keep", 4, 1.0), ("drop", 2, 1.0), ("use", 2, 5.0)])
def test_the_moving_average_is_kept_dropped_or_used(root: Path, capsys, ema: str, keys: int, value: float) -> None:
    name = "model.diffusion_model.out.2.weight"
    tensors = {
        name: torch.ones(2, 2),
        "betas": torch.ones(4),
        "model_ema.diffusion_modelout2weight": torch.full((2, 2), 5.0),
        "model_ema.decay": torch.tensor(0.9),
    }
    stated = {"modelspec.hash_sha256": "0x00", "modelspec.title": "A"}
    save_file(tensors, root / "trained.safetensors", stated)
    target = root / f"{ema}.safetensors"
    run(root, capsys, "convert", str(root / "trained.safetensors"), str(target), "--ema", ema, "--dtype", "bf16")
    found = load_file(target)
    assert len(found) == keys
    assert torch.equal(found[name], torch.full((2, 2), value, dtype=torch.bfloat16))
    assert found["betas"].dtype == torch.float32
    with safe_open(target, "pt") as file:
        assert file.metadata() == {"modelspec.title": "A"}


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"<!DOCTYPE html><html>Not found</html>", "is a web page", "log in"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS", "git lfs pull"),
        (b"NOPE" * 40, r"begins with b'NOPENOPE'", "download it again"),
        (b"GGUF" + struct.pack("<IQQ", 3, 5, 2) + bytes(10), "is cut off or damaged", "download it again"),
        (b"", "has 0 bytes", "download it again"),
    ],
)
def test_what_is_no_weight_file_is_named(root: Path, content: bytes, message: str, hint: str) -> None:
    (root / "odd.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"odd\.safetensors {message}") as error:
        main(root, ["info", str(root / "odd.safetensors")])
    assert hint in error.value.hint


def test_a_folder_is_told_from_a_file(root: Path) -> None:
    (root / "saved" / "unet").mkdir(parents=True)
    for command in ("info", "hash"):
        with pytest.raises(SettingsError, match="is a folder; this takes one file"):
            main(root, [command, str(root / "saved")])
    (root / "saved" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    with pytest.raises(SettingsError) as error:
        main(root, ["hash", str(root / "saved")])
    assert "unet/diffusion_pytorch_model.safetensors" in error.value.hint


def test_a_name_that_is_nowhere_or_twice_is_an_error(root: Path) -> None:
    with pytest.raises(SettingsError, match="no weight file nowhere"):
        main(root, ["info", "nowhere"])
    save_file({"w": torch.ones(1)}, root / "models" / "vae" / "style.safetensors")
    with pytest.raises(SettingsError, match="Several files are called style"):
        main(root, ["hash", "style"])
