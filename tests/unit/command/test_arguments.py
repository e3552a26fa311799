"""Server flags → settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.command.arguments import FlagParser, add_server_flags, settings_from_flags
from engine.command.unused_flags import NO_EFFECT, REFUSED
from engine.core.errors import SettingsError
from engine.core.settings import Settings, settings_from_json, settings_to_json


def parse(root: Path, *arguments: str) -> Settings:
    parser = FlagParser(prog="main.py serve")
    add_server_flags(parser)
    return settings_from_flags(root, parser.parse_args(list(arguments)), arguments)


def test_defaults_listen_on_loopback_port_8188(tmp_path: Path) -> None:
    settings = parse(tmp_path)
    assert (settings.listen, settings.port, settings.token) == (("127.0.0.1",), 8188, None)


def test_metadata_has_three_policies_and_the_old_flag_means_none(tmp_path: Path) -> None:
    assert (parse(tmp_path).metadata_policy, parse(tmp_path).metadata_enabled) == ("full", True)
    told = parse(tmp_path, "--metadata", "parameters")
    assert (told.metadata_policy, told.metadata_enabled) == ("parameters", False)
    assert parse(tmp_path, "--disable-metadata").metadata_policy == "none"


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


def test_limits_and_what_stays_loaded_reach_the_worker(tmp_path: Path) -> None:
    given = ("--max-vram", "2", "--max-ram", "3", "--keep-loaded", "a.safetensors", "b.ckpt", "--disable-smart-memory")
    settings = parse(tmp_path, *given)
    memory = settings_from_json(settings_to_json(settings)).memory
    assert (memory.max_vram_bytes, memory.max_ram_bytes) == (2 << 30, 3 << 30)
    assert (memory.pinned, memory.keeps_one) == (("a.safetensors", "b.ckpt"), True)


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


@pytest.mark.parametrize("flag", sorted(REFUSED))
def test_a_flag_that_cannot_be_honoured_is_refused_by_name_with_a_remedy(tmp_path: Path, flag: str) -> None:
    for arguments in ((flag,), (flag, "1")):
        with pytest.raises(SettingsError, match=f"^{flag} is not supported: ") as caught:
            parse(tmp_path, *arguments)
        assert caught.value.hint


def test_flags_without_effect_may_carry_their_values(tmp_path: Path) -> None:
    settings = parse(tmp_path, "--fast", "fp16_accumulation", "cublas_ops", "--async-offload", "2", "--port", "9000")
    assert settings.port == 9000


def test_a_default_device_is_the_device_used(tmp_path: Path) -> None:
    assert parse(tmp_path, "--default-device", "1").memory.device == "cuda:1"
    with pytest.raises(SettingsError, match="not allowed with"):
        parse(tmp_path, "--default-device", "1", "--cuda-device", "0")


KNOWN_FLAGS = """
    --listen --port=1 --tls-keyfile=a --tls-certfile=a --enable-cors-header --max-upload-size=1 --base-directory=a
    --extra-model-paths-config=a --output-directory=a --temp-directory=a --input-directory=a --user-directory=a
    --auto-launch --disable-auto-launch --cuda-device=0 --default-device=0 --cuda-malloc --disable-cuda-malloc
    --force-fp32 --force-fp16 --fp32-unet --fp64-unet --bf16-unet --fp16-unet --fp8_e4m3fn-unet --fp8_e5m2-unet
    --fp8_e8m0fnu-unet --fp16-vae --fp32-vae --bf16-vae --cpu-vae --fp8_e4m3fn-text-enc --fp8_e5m2-text-enc
    --fp16-text-enc --fp32-text-enc --bf16-text-enc --force-channels-last --directml --oneapi-device-selector=a
    --disable-ipex-optimize --supports-fp8-compute --preview-method=auto --preview-size=64 --cache-classic
    --cache-lru=1 --cache-none --cache-ram=1 --use-split-cross-attention --use-quad-cross-attention
    --use-pytorch-cross-attention --use-sage-attention --use-flash-attention --disable-xformers
    --force-upcast-attention --dont-upcast-attention --gpu-only --highvram --normalvram --lowvram --novram --cpu
    --reserve-vram=1 --async-offload --disable-async-offload --force-non-blocking --default-hashing-function=md5
    --disable-smart-memory --deterministic --fast --disable-pinned-memory --mmap-torch-files --disable-mmap
    --dont-print-server --quick-test-for-ci --windows-standalone-build --disable-metadata --disable-all-custom-nodes
    --whitelist-custom-nodes=a --disable-api-nodes --multi-user --verbose --log-stdout --front-end-version=a
    --front-end-root=. --enable-compress-response-body --comfy-api-base=a --database-url=a --enable-manager
    --disable-manager-ui --enable-manager-legacy-ui --disable-dynamic-vram
"""
"""The flags of start scripts, with a value where they need one."""


@pytest.mark.parametrize("flag", KNOWN_FLAGS.split())
def test_every_flag_of_a_start_script_is_known(tmp_path: Path, flag: str) -> None:
    parser = FlagParser(prog="main.py serve")
    add_server_flags(parser)
    if flag.split("=")[0] in REFUSED:
        with pytest.raises(SettingsError, match="is not supported"):
            parser.parse_args([flag])
    else:
        parser.parse_args([flag])


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
