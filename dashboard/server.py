"""The web process: `python -m dashboard.server SETTINGS.json`. It computes nothing; it passes on the state plane."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from dashboard.commands import Asker as CommandAsker
from dashboard.commands import Commands
from dashboard.feed import SILENT_S, Asker, Feed, Spectra, Subscriber
from dashboard.guard import Guard
from dashboard.hub import Hub
from dashboard.patience import MOST_HEAD_BYTES, ImpatientProtocol
from dashboard.settings import DashboardProcess, DashboardSettings
from dashboard.shared_frames import SharedFramesProtocol
from dashboard.shelf import Shelf
from dashboard.viewer_link import ViewerLink
from dashboard.views import page_description
from stream.health import clear_ready, mark_ready
from stream.messages import Json, StateUpdate
from stream.paths import control_token_path
from stream.settings import StreamSettings, load_settings

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
MAX_VIEWERS = 64
"""Browsers at the same time; one more is refused."""
MAX_SAID_BYTES = 65536
"""Longest message a browser may send, bytes."""
LEAST_TOKEN = 20
"""Characters of a token, at least."""
HUB_BEAT_S = 1.0
"""How often every browser is told that the server is alive, s: it shows a broken connection after a few."""
STOP_S = 1
"""Time that open connections have when the process is told to end, s."""


def build_app(
    settings: DashboardSettings,
    subscribe: Callable[[], Subscriber],
    connect_asker: Callable[[], Asker],
    ready: Callable[[], None] = lambda: None,
    data_dir: str = "",
    commands: Commands | None = None,
) -> Starlette:
    """Return the web application.

    Parameters
    ----------
    settings
        How the page is served.
    subscribe
        Opens the state plane; called in a thread of its own.
    connect_asker
        Opens a connection to the builder for spectra; called once per asking thread.
    ready
        Called when requests are answered.
    data_dir
        Folder of stored runs; empty for none.
    commands
        Passes on what browsers ask of the session; None where they may ask for nothing.
    """
    began = time.monotonic()
    hub, spectra = Hub(), Spectra(connect_asker)
    index = (STATIC / "index.html").read_text()
    description = page_description() | {
        "metrics": dict(settings.metrics_urls),
        "control": commands is not None,
        "silent_s": SILENT_S,
    }

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()

        def sink(updates: list[StateUpdate], existing: frozenset[tuple[str, str]]) -> None:
            _into(loop, partial(hub.put_all, updates, existing))

        def about() -> Json:
            return {"viewers": len(hub.viewers), "memory_mb": _memory_mb(), "uptime_s": time.monotonic() - began}

        def keep(updates: list[StateUpdate]) -> None:
            for update in updates:
                _into(loop, partial(hub.put, update))

        feed = Feed(subscribe, sink, about)
        shelf = Shelf(data_dir, settings.tiled_uri, hub, keep) if data_dir else None

        async def beat() -> None:
            while True:
                await asyncio.sleep(HUB_BEAT_S)
                hub.beat()

        feed.start()
        if shelf is not None:
            shelf.start()
        beating = asyncio.create_task(beat())
        ready()
        yield
        beating.cancel()
        feed.close()
        if shelf is not None:
            shelf.close()
        spectra.close()
        if commands is not None:
            commands.close()

    def page(_request: Request) -> Response:
        return HTMLResponse(index)

    def describe(_request: Request) -> Response:
        return JSONResponse(description)

    async def link(websocket: WebSocket) -> None:
        if len(hub.viewers) >= MAX_VIEWERS:
            await websocket.close(1013, "too many viewers")
            return
        await ViewerLink(websocket, hub, spectra, settings, data_dir, commands).serve()

    routes = [
        Route("/", page),
        Route("/page.json", describe),
        WebSocketRoute("/state", link),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    guard = Middleware(Guard, hosts=(settings.host, *settings.allowed_hosts))
    return Starlette(routes=routes, middleware=[guard], lifespan=lifespan)


def _memory_mb() -> float:
    """Return the memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _into(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        log.debug("the event loop has ended")


def listen(settings: DashboardSettings) -> socket.socket:
    """Return a listening socket.

    Raises
    ------
    SystemExit
        Where the port is taken, with what to do about it.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as problem:
        listener.close()
        message = f"cannot serve the page on {settings.host} port {settings.port}: {problem.strerror or problem}"
        raise SystemExit(f"{message}; choose another port in [dashboard] of the rig file") from problem
    listener.listen(128)
    return listener


def uvicorn_config(app: Starlette, settings: DashboardSettings) -> uvicorn.Config:
    """Return how the application is served: nothing of a request is logged."""
    return uvicorn.Config(
        app,
        http=ImpatientProtocol,
        ws=SharedFramesProtocol,
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        log_config=None,
        access_log=False,
        lifespan="on",
        ws_max_size=MAX_SAID_BYTES,
        ws_per_message_deflate=False,
        # A laptop that was closed answers no ping; a tab that is only hidden does.
        ws_ping_interval=settings.stuck_s / 2,
        ws_ping_timeout=settings.stuck_s / 2,
        timeout_graceful_shutdown=STOP_S,
        server_header=False,
    )


def run(app: Starlette, listener: socket.socket, settings: DashboardSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    uvicorn.Server(uvicorn_config(app, settings)).run(sockets=[listener])


def _connect(stream: StreamSettings) -> Subscriber:
    from stream.state import StateSubscriber

    return StateSubscriber(stream)


def _connect_asker(stream: StreamSettings) -> Asker:
    from stream.state import StateAsker

    return StateAsker(stream, "builder")


def _connect_session(stream: StreamSettings) -> CommandAsker:
    from stream.state import StateAsker

    return StateAsker(stream, "session")


def _commands(process: DashboardProcess) -> Commands | None:
    """Return what passes requests on; None where the page only shows.

    Raises
    ------
    SystemExit
        Where control is allowed and the token of this start is not there.
    """
    if not process.dashboard.allow_control:
        return None
    path = control_token_path(process.stream.runtime_dir)
    try:
        token = path.read_text().strip()
    except OSError as problem:
        raise SystemExit(f"control is allowed but {path} cannot be read: {problem.strerror}") from problem
    if len(token) < LEAST_TOKEN:
        raise SystemExit(f"control is allowed but the token in {path} is too short to be one")
    return Commands(token, partial(_connect_session, process.stream))


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def main(arguments: list[str]) -> None:
    """Run the web process from its settings file."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # One line per viewer that comes says nothing, fills the log, and would hold whatever its address holds.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # uvicorn takes the signals while it serves and raises them again afterwards; then, and before, this ends us with 0.
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    process = load_settings(DashboardProcess, arguments[0])
    clear_ready(process.stream, "web")
    listener = listen(process.dashboard)
    log.info("the page is at http://%s:%d/", process.dashboard.host, listener.getsockname()[1])

    stream = process.stream
    ready = partial(mark_ready, stream, "web")
    app = build_app(
        process.dashboard,
        partial(_connect, stream),
        partial(_connect_asker, stream),
        ready,
        stream.data_dir,
        _commands(process),
    )
    try:
        run(app, listener, process.dashboard)
    finally:
        clear_ready(stream, "web")


if __name__ == "__main__":
    main(sys.argv[1:])
