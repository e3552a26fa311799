"""Declares HTTP routes of every kind and handlers of submitted jobs."""

import asyncio
import os
import time

import folder_paths
from aiohttp import web
from server import PromptServer

HERE = os.path.dirname(__file__)
routes = PromptServer.instance.routes


@routes.get("/samples/hello")
async def hello(request):
    return web.json_response({"hello": request.query.get("name", "world")})


@routes.post("/samples/echo/{word:[a-z]+}")
async def echo(request):
    value = await request.json()
    headers = {"X-Word": request.match_info["word"], "X-Seen": str("Authorization" in request.headers)}
    return web.json_response({"got": value}, status=201, headers=headers)


@routes.post("/samples/upload")
async def upload(request):
    form = await request.post()
    return web.Response(text=f"{form['name']} {len(form['file'].file.read())}")


@routes.get("/samples/fail")
async def fail(request):
    raise ValueError("no luck")


@routes.get("/samples/refuse")
async def refuse(request):
    raise web.HTTPConflict(text="not now")


@routes.get("/samples/nothing")
async def nothing(request):
    return None


@routes.get("/samples/file")
async def send_file(request):
    return web.FileResponse(os.path.join(folder_paths.get_input_directory(), request.query["name"]))


@routes.get("/samples/stream")
async def stream(request):
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    for _ in range(3):
        await response.write(b"part ")
        await asyncio.sleep(0)
    return response


@routes.get("/samples/event")
async def event(request):
    PromptServer.instance.send_sync("samples.event", {"is_loop": PromptServer.instance.loop is asyncio.get_running_loop()})
    return web.Response()


@routes.view("/samples/view")
class Both(web.View):
    async def get(self):
        return web.Response(text="got")

    async def delete(self):
        return web.Response(status=204)


@routes.get("/object_info/{node_class}")
async def shadow(request):
    return web.Response(text="never")


PromptServer.instance.app.add_routes([web.static("/samples/files", HERE), web.static("/samples/secret", "/")])
PromptServer.instance.app.router.add_put("/samples/put", lambda request: web.Response(text="put"))


def replace_word(data):
    for node in data["prompt"].values():
        if node.get("inputs", {}).get("first") == "REPLACE ME":
            node["inputs"]["first"] = "replaced"
    return data


def fails_for_a_word(data):
    if "FAIL NOW" in str(data["prompt"]):
        data["prompt"] = {}
        raise RuntimeError("cannot read that")
    return data


PromptServer.instance.add_on_prompt_handler(fails_for_a_word)
PromptServer.instance.add_on_prompt_handler(replace_word)


class Sleep:
    """Keeps the device lane busy."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"seconds": ("FLOAT", {"default": 0.1})}}

    RETURN_TYPES = ()
    FUNCTION = "run"
    OUTPUT_NODE = True
    CATEGORY = "samples"

    def run(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until and not os.path.exists(os.path.join(folder_paths.get_temp_directory(), "stop")):
            time.sleep(0.01)
        return {}


NODE_CLASS_MAPPINGS = {"SampleSleep": Sleep}
