from __future__ import annotations

import importlib
import json
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from engine.api import Cancelled, NodeError
from engine.compat.comfyui.worker import Host, Installation, install
from engine.compat.comfyui.worker.running import running_in
from engine.core.errors import ContainmentError
from engine.core.settings import Settings

from .conftest import LoadPack, RecordingContext, run


@pytest.fixture
def module(installed: Installation):
    return importlib.import_module


def test_nothing_is_in_place_before_install_and_after_remove(settings: Settings) -> None:
    names = ("folder_paths", "comfy.utils", "server", "comfy_api.latest")
    assert not any(name in sys.modules for name in names)
    installation = install(Host(settings))
    assert all(name in sys.modules for name in names)
    installation.remove()
    assert not any(name in sys.modules for name in names)
    own = importlib.import_module("nodes")
    assert not hasattr(own, "NODE_CLASS_MAPPINGS")
    assert not any("NotEmulated" in type(finder).__name__ for finder in sys.meta_path)


def test_an_installed_module_of_that_name_is_left_alone(settings: Settings, tmp_path, monkeypatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "latent_preview.py").write_text("REAL = True\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    installation = install(Host(settings))
    try:
        assert installation.skipped == ("latent_preview",)
        assert importlib.import_module("latent_preview").REAL
    finally:
        installation.remove()
        sys.modules.pop("latent_preview", None)


def test_missing_names_say_who_wanted_them_and_that_they_are_not_emulated(module) -> None:
    utils = module("comfy.utils")
    with pytest.raises(AttributeError, match=r"comfy.utils.unet_to_diffusers \(wanted by .*\) is not emulated"):
        _ = utils.unet_to_diffusers
    with pytest.raises(ImportError, match=r"comfy.utils.unet_to_diffusers .* is not emulated by Atelier yet"):
        from comfy.utils import unet_to_diffusers  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"comfy.model_patcher .* is not emulated by Atelier yet"):
        module("comfy.model_patcher")
    assert not hasattr(utils, "unet_to_diffusers")


# ------------------------------------------------------------------ folder_paths


def test_folder_paths_lists_model_files_by_key_old_keys_included(module, settings: Settings) -> None:
    paths = module("folder_paths")
    (settings.folders.base / "models" / "loras" / "sub").mkdir()
    (settings.folders.base / "models" / "loras" / "sub" / "a.safetensors").write_bytes(b"")
    assert paths.get_filename_list("loras") == ["sub/a.safetensors"]
    assert paths.get_full_path("loras", "sub/a.safetensors") == str(
        settings.folders.base / "models" / "loras" / "sub" / "a.safetensors"
    )
    assert paths.get_full_path("loras", "../../etc/passwd") is None
    with pytest.raises(FileNotFoundError):
        paths.get_full_path_or_raise("loras", "b.safetensors")
    assert paths.get_folder_paths("unet") == paths.get_folder_paths("diffusion_models")
    assert paths.models_dir == str(settings.folders.base / "models")
    with pytest.raises(KeyError):
        paths.get_filename_list("no such key")


def test_folders_a_pack_adds_are_searched(module, tmp_path) -> None:
    paths = module("folder_paths")
    (tmp_path / "sams").mkdir()
    (tmp_path / "sams" / "x.bin").write_bytes(b"")
    paths.add_model_folder_path("sams", str(tmp_path / "sams"))
    assert paths.get_filename_list("sams") == ["x.bin"]
    paths.folder_names_and_paths["luts"] = ([str(tmp_path / "sams")], {".cube"})
    assert paths.get_filename_list("luts") == []
    paths.add_model_folder_path("loras", str(tmp_path / "first"), is_default=True)
    assert paths.get_folder_paths("loras")[0] == str(tmp_path / "first")


def test_annotated_names_pick_their_folder_and_cannot_leave_it(module, settings: Settings) -> None:
    paths = module("folder_paths")
    (settings.folders.output / "x.png").write_bytes(b"1")
    assert paths.get_annotated_filepath("x.png [output]") == str(settings.folders.output / "x.png")
    assert paths.get_annotated_filepath("x.png") == str(settings.folders.input / "x.png")
    assert paths.exists_annotated_filepath("x.png [output]")
    assert not paths.exists_annotated_filepath("x.png")
    assert paths.annotated_filepath("a.png [temp]") == ("a.png", str(settings.folders.temp))
    with pytest.raises(ContainmentError):
        paths.get_annotated_filepath("../secret")
    assert not paths.exists_annotated_filepath("../secret")


def test_saving_counts_on_from_the_highest_number_and_replaces_tokens(module, settings: Settings) -> None:
    paths = module("folder_paths")
    output = str(settings.folders.output)
    (settings.folders.output / "d").mkdir()
    (settings.folders.output / "d" / "p8_00041_.png").write_bytes(b"")
    assert paths.get_save_image_path("d/p%width%", output, 8, 9) == (
        str(settings.folders.output / "d"), "p8", 42, "d", "d/p8",
    )  # fmt: skip
    with pytest.raises(ContainmentError):
        paths.get_save_image_path("../out", output)


# ------------------------------------------------------------------ comfy.utils and node_helpers


def test_a_progress_bar_reports_to_its_node_and_stops_a_cancelled_one(module) -> None:
    context = RecordingContext()
    with running_in(context):
        bar = module("comfy.utils").ProgressBar(4)
    bar.update(1)
    bar.update_absolute(3, preview=("JPEG", Image.new("RGB", (2, 2), "red"), 512))
    assert context.progress_calls == [(1.0, 4.0), (3.0, 4.0)]
    assert context.images[0][0, 0].tolist() == [1.0, 0.0, 0.0]
    context.is_cancelled = True
    with pytest.raises(module("comfy.model_management").InterruptProcessingException):
        bar.update(1)


def test_weight_files_are_read_and_written(module, tmp_path) -> None:
    utils = module("comfy.utils")
    save_file({"a.weight": torch.arange(4.0)}, tmp_path / "w.safetensors", {"kind": "test"})
    tensors, metadata = utils.load_torch_file(str(tmp_path / "w.safetensors"), return_metadata=True)
    assert tensors["a.weight"].tolist() == [0, 1, 2, 3]
    assert metadata == {"kind": "test"}
    utils.save_torch_file({"b": torch.ones(2)}, str(tmp_path / "o.safetensors"), {"x": "y"})
    assert json.loads(utils.safetensors_header(str(tmp_path / "o.safetensors")))["__metadata__"] == {"x": "y"}
    assert utils.calculate_parameters(tensors, "a.") == 4
    assert utils.weight_dtype(tensors) == torch.float32


def test_images_are_resized_and_batches_cut_or_repeated(module) -> None:
    utils = module("comfy.utils")
    picture = torch.rand(1, 3, 8, 16)
    assert utils.common_upscale(picture, 4, 4, "bilinear", "center").shape == (1, 3, 4, 4)
    batch = torch.arange(4.0).reshape(4, 1)
    assert utils.repeat_to_batch_size(batch, 6)[:, 0].tolist() == [0, 1, 2, 3, 0, 1]
    assert utils.repeat_to_batch_size(batch, 2)[:, 0].tolist() == [0, 1]
    assert utils.resize_to_batch_size(batch, 2)[:, 0].tolist() == [0, 3]
    assert utils.resize_to_batch_size(batch, 8)[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_tiles_of_a_pointwise_function_give_the_untiled_result(module) -> None:
    utils = module("comfy.utils")
    picture = torch.rand(2, 3, 50, 70)
    seen = []

    def double(tile: torch.Tensor) -> torch.Tensor:
        seen.append(tile.shape)
        return torch.nn.functional.interpolate(tile, scale_factor=2, mode="nearest") * 3

    result = utils.tiled_scale(picture, double, tile_x=32, tile_y=32, overlap=8, upscale_amount=2)
    assert torch.allclose(result, torch.nn.functional.interpolate(picture, scale_factor=2) * 3, atol=1e-5)
    assert len(seen) == 2 * utils.get_tiled_scale_steps(70, 50, 32, 32, 8)


def test_attribute_paths_and_key_prefixes_are_edited(module) -> None:
    utils = module("comfy.utils")
    net = torch.nn.Sequential(torch.nn.Linear(2, 2))
    utils.set_attr_param(net, "0.weight", torch.zeros(2, 2))
    assert float(utils.get_attr(net, "0.weight").sum()) == 0
    state = {"old.a": 1, "keep": 2}
    assert utils.state_dict_prefix_replace(state, {"old.": "new."}) == {"keep": 2, "new.a": 1}
    assert utils.state_dict_prefix_replace(state, {"new.": ""}, filter_keys=True) == {"a": 1}


def test_conditioning_values_are_set_in_copies(module) -> None:
    helpers = module("node_helpers")
    given = [[torch.zeros(1), {"strength": 1, "list": [1]}]]
    made = helpers.conditioning_set_values(given, {"strength": 2, "list": [2]}, append=True)
    assert made[0][1] == {"strength": 3, "list": [1, 2]}
    assert given[0][1] == {"strength": 1, "list": [1]}
    assert helpers.pillow(lambda path: path, "x") == "x"


# ------------------------------------------------------------------ devices, flags, events


def test_devices_and_cancellation_are_those_of_the_worker(settings: Settings) -> None:
    unloaded = []
    installation = install(Host(settings, device=lambda: torch.device("cpu"), unload=lambda: unloaded.append(1)))
    try:
        management = importlib.import_module("comfy.model_management")
        assert management.get_torch_device() == torch.device("cpu")
        assert management.vram_state is management.VRAMState.DISABLED
        assert not management.should_use_fp16()
        assert management.unet_dtype() == torch.float32
        assert management.get_free_memory() > 0
        management.unload_all_models()
        assert unloaded == [1]
        context = RecordingContext(is_cancelled=True)
        management.throw_exception_if_processing_interrupted()
        with running_in(context), pytest.raises(management.InterruptProcessingException) as raised:
            management.throw_exception_if_processing_interrupted()
        assert isinstance(raised.value, Cancelled)
        assert raised.value.code == "cancelled"
    finally:
        installation.remove()


def test_flags_are_readable_and_unknown_ones_refuse(module) -> None:
    args = module("comfy.cli_args").args
    assert (args.port, args.disable_metadata, args.cache_classic) == (8188, False, True)
    assert args.preview_method.value == "none"
    with pytest.raises(AttributeError, match="not emulated"):
        _ = args.fp8_e4m3fn_text_enc


def test_messages_of_a_pack_reach_the_browser_with_their_job(load: LoadPack, events) -> None:
    result = run(load("classic_pack").definitions["SampleSteps"], RecordingContext(node_id="4"), count=2, id="4")
    assert result.ui == {"count": [2]}
    assert [(e.event, e.data, e.job, e.client) for e in events] == [
        ("samples.done", {"node": "4", "count": 2}, "job", None)
    ]


def test_the_server_object_knows_the_running_client_and_shows_text(module) -> None:
    instance = module("server").PromptServer.instance
    context = RecordingContext()
    assert instance.client_id is None
    with running_in(context):
        assert (instance.client_id, instance.last_node_id, instance.last_prompt_id) == ("client", "7", "job")
        instance.send_progress_text("working", "7")
    assert context.texts == ["working"]
    with pytest.raises(AttributeError, match=r"PromptServer.instance.prompt_queue .* not emulated"):
        _ = instance.prompt_queue


# ------------------------------------------------------------------ nodes


def test_our_package_keeps_its_modules_and_offers_built_in_classes(load: LoadPack) -> None:
    load()
    import nodes
    import nodes.image_scale as ours

    assert ours.scale_image.__name__ == "scale_image"
    assert nodes.MAX_RESOLUTION == 16384
    assert nodes.ImageScale.FUNCTION == "upscale"
    assert nodes.ImageScale.INPUT_TYPES()["required"]["image"] == ("IMAGE", {})
    scaled = nodes.ImageScale().upscale(torch.rand(1, 4, 4, 3), "bilinear", 8, 2, "disabled")
    assert scaled[0].shape == (1, 2, 8, 3)
    assert "nearest-exact" in nodes.ImageScale.upscale_methods
    assert "ImageScale" in nodes.NODE_CLASS_MAPPINGS
    assert nodes.NODE_DISPLAY_NAME_MAPPINGS["ImageScale"] == "Upscale Image"
    with pytest.raises(AttributeError, match=r"nodes.NoSuchNode .* not emulated"):
        _ = nodes.NoSuchNode


def test_packs_see_each_others_classes_in_the_table(load: LoadPack) -> None:
    load("classic_pack")
    import nodes

    assert nodes.NODE_CLASS_MAPPINGS["SampleJoin"]().join("a", "b") == ("ab",)
    assert dict(nodes.NODE_CLASS_MAPPINGS)["SampleGradient"].FUNCTION == "draw"
    nodes.NODE_CLASS_MAPPINGS["Extra"] = dict
    assert nodes.NODE_CLASS_MAPPINGS["Extra"] is dict
    assert "NoSuchNode" not in nodes.NODE_CLASS_MAPPINGS


def test_a_class_derived_from_the_saver_writes_into_the_folder_it_chose(load: LoadPack, settings: Settings) -> None:
    definition = load("classic_pack").definitions["SampleSaveBright"]
    result = run(
        definition,
        images=torch.full((2, 4, 4, 3), 0.25),
        gain=2.0,
        prompt={"1": {"class_type": "X"}},
        extra_pnginfo={"workflow": {"nodes": []}},
    )
    names = [entry["filename"] for entry in result.ui["a_images"]]
    assert names == ["sample_bright_00001_.png", "sample_bright_00002_.png"]
    with Image.open(settings.folders.temp / names[0]) as picture:
        assert picture.getpixel((0, 0)) == (127, 127, 127)
        assert json.loads(picture.text["prompt"]) == {"1": {"class_type": "X"}}
        assert json.loads(picture.text["workflow"]) == {"nodes": []}


def test_sampler_lists_are_the_built_in_ones_and_shared_by_reference(load: LoadPack) -> None:
    load()
    import comfy.samplers

    definition = load().definitions.get("KSampler")
    wanted = list(definition.spec.inputs_by_name["sampler_name"].choices) if definition else []
    assert wanted == comfy.samplers.KSampler.SAMPLERS
    comfy.samplers.KSampler.SAMPLERS.append("mine")
    assert comfy.samplers.SAMPLER_NAMES[-1] == "mine"


def test_a_sampling_node_called_as_a_function_is_refused_with_the_way_out(load: LoadPack) -> None:
    definitions = load().definitions
    generators = [name for name, definition in definitions.items() if definition.is_generator]
    import nodes

    for name in generators:
        cls = nodes.NODE_CLASS_MAPPINGS[name]
        with pytest.raises(NodeError, match="not emulated") as raised:
            getattr(cls(), cls.FUNCTION)()
        assert "expansion" in raised.value.hint


def test_small_modules_have_their_names(module) -> None:
    assert module("comfyui_version").__version__ == "0.3.64"
    assert module("comfy_execution.graph").ExecutionBlocker(None).message is None
    assert module("comfy_execution.graph_utils").is_link(["1", 0])
    assert not module("comfy_execution.graph_utils").is_link(["1", "0"])
    io = module("comfy.comfy_types").IO
    assert io.ANY == "*"
    differs = io.ANY != "IMAGE"
    assert not differs
    assert io.IMAGE != "MASK"
    assert module("comfy.comfy_types.node_typing").CheckLazyMixin().check_lazy_status(a=None, b=1) == ["a"]
    assert module("execution").full_type_name(int) == "int"
    assert module("latent_preview").get_previewer("cpu", None) is None
    context = RecordingContext(call_index=3)
    with running_in(context):
        assert module("comfy_execution.utils").get_executing_context().list_index == 3
        module("latent_preview").prepare_callback(None, 5)(0, None, None, 5)
    assert context.progress_calls == [(1.0, 5.0)]


def test_schema_nodes_save_images_through_the_helper(module, settings: Settings) -> None:
    ui = module("comfy_api.latest").ui
    saved = ui.ImageSaveHelper.get_save_images_ui(torch.zeros(1, 4, 4, 3), "helper", cls=None)
    assert saved.as_dict() == {"images": [{"filename": "helper_00001_.png", "subfolder": "", "type": "output"}]}
    assert (settings.folders.output / "helper_00001_.png").is_file()
    with pytest.raises(AttributeError, match=r"PreviewAudio .* not emulated"):
        _ = ui.PreviewAudio
    with pytest.raises(ImportError, match=r"Autogrow .* not emulated"):
        from comfy_api.latest.io import Autogrow  # noqa: F401
