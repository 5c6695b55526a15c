"""One browser's websocket: what it may say, and how it is sent batches."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any, cast

from starlette.websockets import WebSocket, WebSocketDisconnect

from dashboard.commands import VIEW_ONLY, Commands
from dashboard.cut import is_line, spectra_along
from dashboard.encode import pack
from dashboard.feed import Spectra
from dashboard.hub import Hub, Viewer
from dashboard.playback import Playback
from dashboard.settings import DashboardSettings
from stream.messages import Json, SpectrumReply, SpectrumRequest
from stream.stored_maps import stored_runs

log = logging.getLogger(__name__)

BEAT_S = 0.9
"""Silence towards a browser after which it is told that the server is alive, s: `Hub.beat` comes once a second."""
MOST_COMMANDS = 8
"""Requests to the session that one browser may have on their way."""
MOST_SPEED = 1e6
"""Highest speed of a replay."""
NO_SPECTRA = "a replay shows stored maps; their spectra are fitted again by `nvdac replay`"
REQUEST_FIELDS = ("sweep", "y0", "y1", "x0", "x1")


class BadRequestError(ValueError):
    """A browser said something it must not."""


class ViewerLink:
    """Serves one browser until it goes."""

    def __init__(
        self,
        socket: WebSocket,
        hub: Hub,
        spectra: Spectra,
        settings: DashboardSettings,
        data_dir: str = "",
        commands: Commands | None = None,
    ) -> None:
        self._socket = socket
        self._hub = hub
        self._spectra = spectra
        self._pause_s = 1.0 / settings.frames_per_s
        self._stuck_s = settings.stuck_s
        self._viewer = Viewer()
        self._data_dir = data_dir
        self._commands = commands
        self._doing: set[asyncio.Task[None]] = set()
        self._playback: Playback | None = None
        self._playing: asyncio.Task[None] | None = None
        self._asked: Json | None = None
        self._asking: asyncio.Task[None] | None = None
        self._line: Json | None = None
        self._cutting: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Accept the websocket, send batches and answer until the browser goes."""
        await self._socket.accept()
        self._hub.viewers.add(self._viewer)
        both = [asyncio.create_task(work()) for work in (self._receive, self._send)]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except BadRequestError as problem:
            log.warning("a browser was sent away: %s", problem)
            await self._socket.close(1008, str(problem)[:100])
        except TimeoutError:
            log.info("a browser took nothing for %g s and was let go", self._stuck_s)
            self._hub.viewers.discard(self._viewer)  # its place is free, however long the closing takes
            await self._socket.close(1001, "nothing was read")
        except (WebSocketDisconnect, OSError):
            log.debug("a browser left")
        finally:
            self._hub.viewers.discard(self._viewer)
            for task in (*both, self._asking, self._cutting, self._playing):
                if task is not None:
                    task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code") or 1000)
            try:
                said = json.loads(message.get("text") or "")
            except (ValueError, RecursionError) as problem:
                raise BadRequestError("not JSON") from problem
            if not isinstance(said, dict):
                raise BadRequestError("not an object")
            self._hear(cast(Json, said))

    def _hear(self, said: Json) -> None:
        match said:
            case {"ack": int(batch)}:
                self._viewer.acknowledge(batch)
            case {"show": list(channels)}:
                self._viewer.show(str(name)[:80] for name in cast(list[object], channels)[:200])
            case {"ask": dict(request)}:
                self._asked = cast(Json, request)
                if self._asking is None or self._asking.done():
                    self._asking = asyncio.create_task(self._answer())
            case {"cut": dict(line)}:
                self._line = cast(Json, line)
                if self._cutting is None or self._cutting.done():
                    self._cutting = asyncio.create_task(self._cut())
            case {"play": str(run_uid), "speed": float() | int() as speed}:
                self._play(run_uid, float(speed))
            case {"control": dict(request)}:
                self._command(cast(Json, request))
            case {"live": True}:
                self._switch(None)
            case {"steer": dict(steer)}:
                self._steer(cast(Json, steer))
            case _:
                raise BadRequestError("neither ack, show, ask, cut, play, steer, control nor live")

    def _command(self, request: Json) -> None:
        if len(self._doing) >= MOST_COMMANDS:
            raise BadRequestError("too many requests at a time")
        task = asyncio.create_task(self._obey(request))
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    async def _obey(self, request: Json) -> None:
        """Answer a request to the session: done, or refused and why."""
        if self._commands is None:
            accepted, said = False, VIEW_ONLY
        else:
            accepted, said = await self._commands.do(request)
        number = request.get("id", 0)
        answer: Json = {"did": number if type(number) is int else 0, "accepted": accepted, "said": said}
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):  # whoever asked has gone
            await self._socket.send_text(json.dumps(answer))

    def _play(self, run_uid: str, speed: float) -> None:
        run = next((run for run in stored_runs(self._data_dir) if run.run_uid == run_uid), None)
        if run is None or not 0 <= speed <= MOST_SPEED:
            raise BadRequestError("there are no such stored maps, or no such speed")
        self._switch(Playback(self._data_dir, run, speed))

    def _steer(self, steer: Json) -> None:
        speed, position = steer.get("speed"), steer.get("position")
        if speed is not None and not (isinstance(speed, int | float) and 0 <= speed <= MOST_SPEED):
            raise BadRequestError("the speed is not valid")
        if position is not None and type(position) is not int:
            raise BadRequestError("the position is not valid")
        if self._playback is not None:
            self._playback.steer(None if speed is None else float(speed), position)

    def _switch(self, playback: Playback | None) -> None:
        """Show a stored run instead of the present one, or the present one again: nothing of the other stays."""
        if self._playing is not None:
            self._playing.cancel()
        self._playback = playback
        self._viewer.seen = dict.fromkeys(self._viewer.seen, 0)
        if playback is not None:
            playback.hub.viewers.add(self._viewer)
            self._playing = asyncio.create_task(self._perform(playback))
        self._viewer.notice()

    async def _perform(self, playback: Playback) -> None:
        """Play; where the stored maps cannot be read the present run is shown again, never a picture that stands."""
        try:
            await playback.play()
        except (OSError, KeyError, ValueError) as problem:
            log.warning("the replay of %s ended: %s", playback.run.run_uid, problem)
            self._playing = None
            self._switch(None)

    def _hubs(self) -> list[tuple[Hub, Callable[[str], bool]]]:
        """Return which hub has which channels: in a replay all but the list of runs is the replay's."""
        if self._playback is None:
            return [(self._hub, lambda _: True)]
        return [(self._playback.hub, lambda name: not _of_shelf(name)), (self._hub, _of_shelf)]

    async def _answer(self) -> None:
        # While one spectrum is on its way only the newest further request is kept.
        while self._asked is not None:
            asked, self._asked = self._asked, None
            number = asked.get("id", 0)
            numbers = [asked.get(name) for name in REQUEST_FIELDS]
            if not all(type(value) is int and -1 <= value < 65536 for value in numbers):
                answer = "the region is not valid"
            elif self._playback is not None:
                answer = NO_SPECTRA
            else:
                sweep, y0, y1, x0, x1 = cast(list[int], numbers)
                answer = await self._spectra.ask(SpectrumRequest(self._run_uid(), sweep, y0, y1, x0, x1))
            await self._socket.send_bytes(_reply(number, answer))

    def _run_uid(self) -> str:
        return str(self._hub.header("run").get("run_uid", ""))

    async def _cut(self) -> None:
        """Answer with the spectra along a line; while one is cut only the newest further line is kept."""
        while self._line is not None:
            line, self._line = self._line, None
            number = line.get("id", 0)
            if not is_line(line):
                found = "the line is not valid"
            elif self._playback is not None:
                found = NO_SPECTRA
            else:
                found = await spectra_along(line, self._run_uid(), self._spectra.ask)
            said = pack({"reply": number, "refused": found}, {}) if isinstance(found, str) else None
            await self._socket.send_bytes(
                said or pack({"reply": number, "header": found[0]}, cast("dict[str, Any]", found[1]))
            )

    async def _send(self) -> None:
        viewer, beat, due = self._viewer, 0.0, 0.0
        while True:
            await viewer.wake.wait()  # `Hub.beat` sets it too
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            viewer.wake.clear()
            gone, batches = list[str](), list[tuple[bytes, memoryview]]()
            if not viewer.unacknowledged:
                viewer.news = False
                gone = [name for hub, mine in self._hubs() for name in hub.gone(viewer, mine)]
                batches = [data for hub, mine in self._hubs() if (data := hub.take(viewer, mine))]
            now = time.monotonic()
            async with asyncio.timeout(self._stuck_s):
                if gone or now - beat >= BEAT_S:
                    beat = now
                    await self._socket.send_text(json.dumps({"now_s": time.time(), "gone": gone}))
                for framed, message in batches:
                    await self._socket.send({"type": "websocket.send", "bytes": message, "framed": framed})
            if batches:
                beat, due = now, now + self._pause_s


def _of_shelf(channel: str) -> bool:
    return channel in ("runs", "sources") or channel.startswith("gallery")


def _reply(number: object, answer: SpectrumReply | str) -> bytes:
    if isinstance(answer, str):
        return pack({"reply": number, "refused": answer}, {})
    header: Json = {name: getattr(answer, name) for name in ("run_uid", "status", "values", *REQUEST_FIELDS)}
    arrays = {name: getattr(answer, name) for name in ("frequency_mhz", "signal", "sigma", "model")}
    return pack({"reply": number, "header": header}, arrays)
