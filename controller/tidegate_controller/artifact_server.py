"""Serves the artifacts to agents over HTTP; started by `server`."""

from aiohttp import web

from tidegate_controller.artifacts import ArtifactStore
from tidegate_controller.errors import UsageError


class ArtifactServer:
    """Serves the store to agents: GET /artifacts/<digest>, with Range. A digest is no secret, an
    artifact may be: like every listener it stays on loopback until there is mutual TLS."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        application = web.Application()
        application.router.add_get("/artifacts/{digest}", self._get)
        self._runner = web.AppRunner(application, access_log=None)
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen; `port` 0 lets the system choose. Raises `OSError` when the port is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        try:
            path = self._store.path(request.match_info["digest"])
        except UsageError as error:
            raise web.HTTPBadRequest(text=error.message) from error
        if path is None:
            raise web.HTTPNotFound(text="no such artifact")
        return web.FileResponse(path)
