"""The camera process: builds the frame source that the rig names and serves its frames.

`python -m devices.camera_server SETTINGS.json`; SIGTERM ends it within two seconds, with every frame made on disk.
"""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType
from typing import cast

from devices.processes import CameraProcess
from devices.settings import CameraSettings
from stream.doors import TcpRefused
from stream.frame_server import FrameServer
from stream.frames import FrameMaker
from stream.health import clear_ready, mark_ready
from stream.heap import keep_heap
from stream.keys import KeysError
from stream.live_frames import LiveSource
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
    if kind in ("pva", "dectris"):
        return _live_camera(settings)
    raise SourceError(f"camera.kind is {kind!r}: choose `twin`, `file`, `pva` or `dectris`")


def _live_camera(settings: CameraProcess) -> FrameMaker:
    """Return a camera that sends by itself."""
    from devices.channel_access import quiet_repeater
    from stream.live_frames import SourceLost

    live = settings.camera.live
    quiet_repeater()
    try:
        source = _pva(settings.camera) if settings.camera.kind == "pva" else _dectris(settings.camera)
    except SourceLost as error:
        raise SourceError(str(error)) from error
    from devices.live_camera import LiveCamera
    from devices.sample_state import InstrumentState

    return LiveCamera(source, InstrumentState(settings.devices, live.temperature_k), live.frame_timeout_s)


def _pva(camera: CameraSettings) -> LiveSource:
    if not camera.source:
        raise SourceError("camera.kind is `pva` but camera.source names no PVAccess channel, such as 13SIM1:Pva1:Image")
    from devices.pva_source import PvaSource
    from devices.sample_state import AcquireSwitch

    live = camera.live
    switch = AcquireSwitch(live.acquire, live.images) if live.acquire else None
    return PvaSource(camera.source, live.buffer_mib << 20, switch, holes=live.lost_frames == "hole")


def _dectris(camera: CameraSettings) -> LiveSource:
    from stream.dectris import DectrisSource
    from stream.live_frames import DTYPES

    live = camera.live
    if live.height < 1 or live.width < 1 or live.dtype not in DTYPES:
        wanted = f"height and width of an image, and dtype as one of {', '.join(DTYPES)}"
        raise SourceError(f"camera.kind is `dectris`: [camera.live] must have {wanted}")
    form = ((live.height, live.width), live.dtype, live.channel)
    return DectrisSource(camera.source, *form, live.buffer_mib << 20, live.lost_frames == "hole")


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
            close = getattr(maker, "close", None)
            if callable(close):
                server.close()  # the pump takes no frame from a source that is closed
                close()


def main(arguments: list[str]) -> int:
    """Run the process; returns its exit code."""
    log_to_stderr(NAME)
    keep_heap()
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
