"""ComfyUI's HTTP routes and socket events as a view over the engine's jobs and their logs. Never imports torch."""

from __future__ import annotations

from aiohttp import web

from engine.compat.comfyui.server import (
    catalog_routes,
    job_routes,
    model_routes,
    prompt_routes,
    socket_route,
    system_routes,
    upload_routes,
    user_routes,
    view_routes,
)
from engine.compat.comfyui.server.broadcast import BROADCASTER, Broadcaster
from engine.compat.comfyui.server.catalog_routes import CATALOG_TEXT, CatalogText
from engine.compat.comfyui.server.pack_routes import PACK_ROUTES, PackRoutes, forward_to_packs
from engine.compat.comfyui.server.requests import SERVICES, add_routes
from engine.compat.comfyui.server.user_files import UserFiles
from engine.compat.comfyui.server.user_routes import USER_FILES
from engine.server.services import Services

__all__ = ["MIRRORED", "mount"]

MIRRORED = (
    prompt_routes, view_routes, upload_routes, model_routes, user_routes, system_routes, job_routes, catalog_routes,
    socket_route,
)  # fmt: skip


def mount(app: web.Application, services: Services) -> None:
    """Add every route to `app`, with and without `/api`, and follow the engine's feed while the app runs."""
    app[SERVICES] = services
    app[BROADCASTER] = Broadcaster(services)
    app[CATALOG_TEXT] = CatalogText(services)
    app[PACK_ROUTES] = PackRoutes(services)
    app[USER_FILES] = UserFiles(services.settings.folders, is_multi_user=services.settings.multi_user)
    for module in MIRRORED:
        add_routes(app, module.ROUTES)
    add_routes(app, system_routes.INTERNAL_ROUTES, mirrored=False)
    add_routes(app, catalog_routes.STATIC_ROUTES, mirrored=False)
    add_routes(app, catalog_routes.API_ROUTES, mirrored=False)
    app.middlewares.append(forward_to_packs())
    app.on_startup.append(_start)
    app.on_shutdown.append(_stop)


async def _start(app: web.Application) -> None:
    app[BROADCASTER].start()
    app[PACK_ROUTES].follow(app)


async def _stop(app: web.Application) -> None:
    """Before connections are waited for: open sockets would hold up the end of the server."""
    await app[BROADCASTER].stop()
