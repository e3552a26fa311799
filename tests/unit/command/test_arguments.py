"""Server flags → settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.command.arguments import NO_EFFECT, FlagParser, add_server_flags, settings_from_flags
from engine.core.errors import SettingsError
from engine.core.settings import Settings, settings_from_json, settings_to_json


def parse(root: Path, *arguments: str) -> Settings:
    parser = FlagParser(prog="main.py serve")
    add_server_flags(parser)
    return settings_from_flags(root, parser.parse_args(list(arguments)), arguments)


def test_defaults_listen_on_loopback_port_8188(tmp_path: Path) -> None:
    settings = parse(tmp_path)
    assert (settings.listen, settings.port, settings.token) == (("127.0.0.1",), 8188, None)


def test_listen_without_an_address_means_every_address(tmp_path: Path) -> None:
    assert parse(tmp_path, "--listen").listen == ("0.0.0.0", "::")


def test_an_unknown_flag_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no flag --lisen") as caught:
        parse(tmp_path, "--lisen")
    assert caught.value.hint == "Did you mean --listen?"


def test_abbreviations_are_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        parse(tmp_path, "--out", "x")


def test_a_base_directory_moves_every_folder(tmp_path: Path) -> None:
    folders = parse(tmp_path, "--base-directory", str(tmp_path / "b")).folders
    base = tmp_path / "b"
    assert (folders.input, folders.output, folders.temp, folders.user) == (
        base / "input",
        base / "output",
        base / "temp",
        base / "user",
    )
    assert folders.models["checkpoints"].paths == (base / "models/checkpoints", base / "output/checkpoints")


def test_the_temp_directory_flag_names_the_parent(tmp_path: Path) -> None:
    assert parse(tmp_path, "--temp-directory", str(tmp_path / "t")).folders.temp == tmp_path / "t" / "temp"


@pytest.mark.parametrize(
    ("flag", "plan"),
    [("--gpu-only", "gpu_only"), ("--lowvram", "low"), ("--novram", "none"), ("--cpu", "cpu"), ("--highvram", "high")],
)
def test_vram_flags_choose_a_plan(tmp_path: Path, flag: str, plan: str) -> None:
    assert parse(tmp_path, flag).memory.plan == plan


def test_two_vram_flags_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not allowed with"):
        parse(tmp_path, "--cpu", "--lowvram")


def test_dtype_flags_name_torch_dtypes(tmp_path: Path) -> None:
    precision = parse(tmp_path, "--fp8_e4m3fn-unet", "--bf16-vae", "--fp16-text-enc").precision
    assert (precision.network, precision.vae, precision.text_encoder) == ("float8_e4m3fn", "bfloat16", "float16")


@pytest.mark.parametrize(
    ("flags", "mode", "kept"),
    [
        ((), "classic", 0),
        (("--cache-lru", "5"), "lru", 5),
        (("--cache-none",), "none", 0),
        (("--cache-classic",), "classic", 0),
    ],
)
def test_cache_flags_choose_a_mode(tmp_path: Path, flags: tuple[str, ...], mode: str, kept: int) -> None:
    cache = parse(tmp_path, *flags).cache
    assert (cache.mode, cache.lru_jobs) == (mode, kept)


@pytest.mark.parametrize("flag", sorted(NO_EFFECT))
def test_flags_without_effect_are_accepted_and_change_nothing(tmp_path: Path, flag: str) -> None:
    assert parse(tmp_path, flag) == parse(tmp_path).__class__(
        **{**{name: getattr(parse(tmp_path), name) for name in Settings.__slots__}, "arguments": (flag,)}
    )


def test_a_port_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--port 99999"):
        parse(tmp_path, "--port", "99999")


def test_settings_survive_the_trip_to_a_worker(tmp_path: Path) -> None:
    settings = parse(
        tmp_path, "--max-vram", "2", "--whitelist-custom-nodes", "a", "b", "--cache-lru", "3", "--force-fp16",
        "--tls-certfile", "a.pem", "--tls-keyfile", "b.pem",
    )  # fmt: skip
    assert (settings.tls_certfile, settings.tls_keyfile) == (Path("a.pem"), Path("b.pem"))
    assert settings_from_json(settings_to_json(settings)) == settings


@pytest.mark.parametrize("flag", ["--tls-certfile", "--tls-keyfile"])
def test_one_file_for_https_without_the_other_is_refused(tmp_path: Path, flag: str) -> None:
    with pytest.raises(SettingsError, match="need each other"):
        parse(tmp_path, flag, "a.pem")


def test_the_token_of_the_environment_is_taken_when_no_flag_gives_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATELIER_TOKEN", "from-environment")
    assert parse(tmp_path).token == "from-environment"
    assert parse(tmp_path, "--token", "from-flag").token == "from-flag"


EXTRA = """
a111:
  base_path: stable
  checkpoints: models/Stable-diffusion
  loras: |
    models/Lora
    models/LyCORIS
  unet: models/unet
other:
  is_default: true
  checkpoints: /srv/checkpoints
empty:
"""


def test_extra_model_paths_are_searched_in_the_stated_order(tmp_path: Path) -> None:
    (tmp_path / "extra.yaml").write_text(EXTRA)
    models = parse(tmp_path, "--extra-model-paths-config", str(tmp_path / "extra.yaml")).folders.models
    base = tmp_path / "stable"
    assert models["checkpoints"].paths == (
        Path("/srv/checkpoints"),
        tmp_path / "models/checkpoints",
        tmp_path / "output/checkpoints",
        base / "models/Stable-diffusion",
    )
    assert models["loras"].paths[-2:] == (base / "models/Lora", base / "models/LyCORIS")
    assert models["diffusion_models"].paths[-1] == base / "models/unet"


def test_the_extra_file_beside_main_is_read_without_a_flag(tmp_path: Path) -> None:
    (tmp_path / "extra_model_paths.yaml").write_text("x:\n  vae: more\n")
    assert parse(tmp_path).folders.models["vae"].paths[-1] == tmp_path / "more"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n", "must map section names"),
        ("a: 1\n", "section a"),
        ("a: {vae: 3}\n", r"a\.vae"),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_a_wrong_extra_file_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "extra.yaml").write_text(text)
    with pytest.raises(SettingsError, match=words) as caught:
        parse(tmp_path, "--extra-model-paths-config", str(tmp_path / "extra.yaml"))
    assert "extra.yaml" in caught.value.message
