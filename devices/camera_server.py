"""The camera process: builds the frame source that the rig names and serves its frames.

`python -m devices.camera_server SETTINGS.json`; SIGTERM ends it within two seconds, with every frame made on disk.
"""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType
from typing import cast

from devices.settings import CameraProcess
from stream.doors import TcpRefused
from stream.frame_server import FrameServer
from stream.frames import FrameMaker
from stream.health import clear_ready, mark_ready
from stream.keys import KeysError
from stream.logs import log_to_stderr
from stream.messages import Json
from stream.settings import load_settings

NAME = "camera"

_log = logging.getLogger(__name__)


class SourceError(RuntimeError):
    """The frame source that the rig names cannot be built; the message is one line for people."""


def build_maker(settings: CameraProcess) -> FrameMaker:
    """Return the frame source named by `settings.camera.kind`."""
    kind = settings.camera.kind
    if kind == "twin":
        if settings.twin is None:
            raise SourceError("camera.kind is `twin` but the rig has no [twin] section")
        from devices.channel_access import quiet_repeater
        from devices.twin.camera import TwinCamera
        from devices.twin.state_reader import StateReader

        quiet_repeater()
        return TwinCamera(settings.twin, settings.camera, StateReader(settings.prefix))
    if kind == "file":
        from stream.replay import ReplayMaker

        try:
            return ReplayMaker(settings.camera.source, settings.camera.frame_rate_hz)
        except OSError as error:
            raise SourceError(str(error)) from error
    raise SourceError(f"camera.kind is {kind!r}: choose `twin` or `file`")


def describe(settings: CameraProcess, maker: FrameMaker) -> Json:
    """Return what the camera tells about itself, with the maker's own `regions()` and `info()` where it has them."""
    camera, twin = settings.camera, settings.twin
    info: Json = {
        "mode": {"twin": "SIMULATED", "file": "REPLAY"}.get(camera.kind, "LIVE"),
        "pixel_size_um": twin.pixel_size_um if camera.kind == "twin" and twin is not None else camera.pixel_size_um,
        "noise": {
            "source": "gain",
            "electrons_per_count": camera.electrons_per_count,
            "offset_counts": camera.offset_counts,
            "read_noise_electrons": camera.read_noise_electrons,
        },
    }
    for name in ("regions", "info"):
        own = getattr(maker, name, None)
        if callable(own):
            told = cast("Json", own())
            info |= {"regions": told} if name == "regions" else told
    return info


def serve(settings: CameraProcess) -> None:
    """Serve until SIGTERM or SIGINT."""
    clear_ready(settings.stream, NAME)
    maker = build_maker(settings)
    with FrameServer(settings.stream, maker, describe(settings, maker)) as server:

        def end(number: int, frame: FrameType | None) -> None:
            server.stop()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        mark_ready(settings.stream, NAME)
        _log.info("camera of %d x %d px ready", maker.height, maker.width)
        try:
            server.run()
        finally:
            clear_ready(settings.stream, NAME)


def main(arguments: list[str]) -> int:
    """Run the process; returns its exit code."""
    log_to_stderr(NAME)
    if len(arguments) != 1:
        _log.error("usage: python -m devices.camera_server SETTINGS.json")
        return 2
    try:
        serve(load_settings(CameraProcess, arguments[0]))
    except (SourceError, TcpRefused, KeysError) as error:
        _log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
