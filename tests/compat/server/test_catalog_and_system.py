from __future__ import annotations

import aiohttp

from engine.core.folders import Folders

from .conftest import Client


async def test_node_records_have_the_wire_keys_clients_read(client: Client) -> None:
    catalog = await client.get("/object_info")
    keys = {
        "input", "input_order", "output", "output_is_list", "output_name", "name", "display_name", "description",
        "python_module", "category", "output_node",
    }  # fmt: skip
    assert all(keys <= set(record) for record in catalog.values())
    assert catalog["SaveImage"]["input"]["required"]["filename_prefix"][0] == "STRING"
    assert catalog["SampleGradient"]["python_module"] == "custom_nodes.classic_pack"
    assert "SampleMalformed" not in catalog
    assert await client.get("/api/object_info/SampleMix") == {"SampleMix": catalog["SampleMix"]}
    assert await client.get("/object_info/NoSuchNode") == {}


async def test_new_files_appear_in_the_next_listing(client: Client, folders: Folders) -> None:
    (folders.input / "fresh.png").write_bytes(b"\x89PNG")
    catalog = await client.get("/object_info")
    assert "fresh.png" in catalog["LoadImage"]["input"]["required"]["image"][0]
    (folders.models["loras"].paths[0] / "fresh.safetensors").write_bytes(b"")
    catalog = await client.get("/object_info")
    assert "fresh.safetensors" in catalog["SampleShout"]["input"]["optional"]["lora"][0]


async def test_an_unchanged_catalog_is_not_sent_again(client: Client) -> None:
    async with client.http.get(client.address + "/object_info") as reply:
        tag = reply.headers["ETag"]
        assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    async with client.http.get(client.address + "/object_info", headers={"If-None-Match": tag}) as reply:
        assert (reply.status, await reply.read()) == (304, b"")
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.get(client.address + "/object_info", headers={"Accept-Encoding": "identity"}) as reply,
    ):
        assert "Content-Encoding" not in reply.headers
        assert (await reply.read()).startswith(b"{")


async def test_scripts_workflows_and_translations_of_packs_are_served(client: Client) -> None:
    assert await client.get("/extensions") == ["/extensions/classic_pack/js/sample.js"]
    async with client.http.get(client.address + "/extensions/classic_pack/js/sample.js") as reply:
        assert (reply.status, reply.content_type) == (200, "text/javascript")
        assert "sample extension" in await reply.text()
        assert reply.headers["Cache-Control"] == "no-cache"
    assert await client.get("/workflow_templates") == {"classic_pack": ["first"]}
    assert await client.get("/api/workflow_templates/classic_pack/first.json") == {
        "nodes": [], "links": [], "version": 0.4,
    }  # fmt: skip
    assert await client.get("/i18n") == {"en": {"nodeDefs": {"SampleGradient": {"display_name": "Gradient"}}}}
    assert await client.get("/global_subgraphs") == {}


async def test_nothing_outside_a_packs_web_folder_is_served(client: Client) -> None:
    from yarl import URL

    for path in (
        "/extensions/classic_pack/..%2Fforms.py", "/extensions/classic_pack/../forms.py",
        "/extensions/schema_pack/__init__.py", "/extensions/nobody/x.js", "/extensions/classic_pack/js/none.js",
        "/api/workflow_templates/classic_pack/..%2F..%2Fforms.py", "/api/workflow_templates/nobody/first.json",
    ):  # fmt: skip
        async with client.http.get(URL(client.address + path, encoded=True)) as reply:
            assert reply.status in (403, 404), path


async def test_the_machine_is_described_in_the_known_shape(client: Client) -> None:
    stats = await client.get("/system_stats")
    assert set(stats) == {"system", "devices"}
    assert {
        "os", "ram_total", "ram_free", "comfyui_version", "required_frontend_version", "installed_templates_version",
        "required_templates_version", "python_version", "pytorch_version", "embedded_python", "argv",
    } == set(stats["system"])  # fmt: skip
    assert stats["system"]["os"] == "posix"
    assert set(stats["devices"][0]) == {
        "name", "type", "index", "vram_total", "vram_free", "torch_vram_total", "torch_vram_free",
    }  # fmt: skip
    assert await client.get("/features") == {"supports_preview_metadata": True, "max_upload_size": 104857600}


async def test_internal_routes_are_there_without_the_prefix_only(client: Client, folders: Folders) -> None:
    (folders.output / "newest.txt").write_text("x")
    assert isinstance(await client.get("/internal/logs"), str)
    raw = await client.get("/internal/logs/raw")
    assert all(set(entry) == {"t", "m"} for entry in raw["entries"])
    assert set(raw["size"]) == {"cols", "rows"}
    paths = await client.get("/internal/folder_paths")
    assert paths["loras"] == [str(path) for path in folders.models["loras"].paths]
    assert "newest.txt" in await client.get("/internal/files/output")
    assert await client.get("/internal/files/user", 400) == {"error": "Invalid directory type"}
    await client.get("/api/internal/logs", 404)


async def test_broken_packs_stop_no_other_and_the_server_has_no_torch(client: Client) -> None:
    import sys

    catalog = await client.get("/object_info")
    assert "SampleBroken" not in catalog
    assert {"SampleGradient", "SampleMix", "SamplePrestarted"} <= set(catalog)
    assert not any(name.startswith("engine.worker") for name in sys.modules if "compat" in name)
