"""Declares HTTP routes and a handler of submitted jobs, and has no nodes."""

from aiohttp import web
from server import PromptServer


@PromptServer.instance.routes.get("/samples/hello")
async def hello(request):
    return web.json_response({"hello": True})


@PromptServer.instance.routes.post("/samples/change")
async def change(request):
    return web.Response()


PromptServer.instance.app.add_routes([web.static("/samples/files", "/tmp")])
PromptServer.instance.add_on_prompt_handler(lambda data: data)

NODE_CLASS_MAPPINGS = {}
