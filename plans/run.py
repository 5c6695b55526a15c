"""The frame of every run: needs checked first, camera and documents opened together, a safe state whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import MsgGenerator, RunEngineControlException

from devices.camera_requests import CameraRun, CameraRunEnd
from devices.rig import Rig
from plans.control import record_requests, with_record
from plans.history import closing_verdict, opening_verdict
from plans.settings import RunInfo, SweepSettings
from plans.stubs import FRAMES

log = logging.getLogger(__name__)

Body = Callable[[str], MsgGenerator[Any]]


@dataclass(frozen=True)
class Resumed:
    """A run whose session died."""

    run_uid: str
    """Its uid, also at the camera."""
    sweeps: int
    """Sweeps that the camera has of it."""


def check_sweep(rig: Rig, settings: SweepSettings) -> None:
    """Refuse a sweep that the rig cannot take, before anything moves.

    Raises
    ------
    DeviceError
        Where an instrument is missing.
    LimitError
        Where a value is outside the rig's limits.
    """
    rig.require("camera", "analysis")
    if rig.microwave is not None and settings.microwave_power_dbm is not None:
        rig.microwave.check_value(settings.microwave_power_dbm)
    if rig.laser is not None and settings.laser_power_mw is not None:
        rig.laser.check_value(settings.laser_power_mw)


def start_metadata(
    rig: Rig, plan_name: str, arguments: Any, info: RunInfo, md: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the start document's metadata: plan, arguments, rig, sample, camera, analysis; `md` goes over it."""
    camera: Any = rig.camera
    facts = dict(camera.describe_camera())
    return {
        "plan_name": plan_name,
        "plan_args": asdict(arguments),
        "rig": rig.name,
        "sample": info.sample,
        "load_index": info.load_index,
        "constants": info.constants,
        "analysis": info.analysis,
        "regions": info.regions,
        "noise": facts.get("noise", {}),
        "pixel_size_um": facts.get("pixel_size_um", 1.0),
        "mode": str(facts.get("mode", "LIVE")),
        "camera": facts,
        "hints": {"dimensions": [(["cryostat_sample_k"], "primary")]} if rig.cryostat is not None else {},
        **(md or {}),
    }


def plain_run(rig: Rig, body: Body, metadata: dict[str, Any]) -> MsgGenerator[str]:
    """Run `body(run_uid)` in one Bluesky run without the camera; ends in the safe state whatever happens."""
    opened: list[str] = []

    def inside() -> MsgGenerator[None]:
        opened.append(str((yield from bps.open_run({"rig": rig.name, **metadata}))))
        yield from bps.checkpoint()
        yield from body(opened[0])

    def failed(error: Exception) -> MsgGenerator[None]:
        asked = isinstance(error, RunEngineControlException)
        status = str(getattr(error, "exit_status", "abort")) if asked else "fail"
        if opened:
            yield from bps.close_run(exit_status=status, reason="" if asked else str(error))

    yield from bpp.contingency_wrapper(
        bpp.finalize_wrapper(inside(), lambda: make_safe(rig)),
        except_plan=failed,
        else_plan=lambda: bps.close_run(exit_status="success"),
    )
    return opened[0]


def run(
    rig: Rig, body: Body, info: RunInfo, metadata: dict[str, Any], resumed: Resumed | None = None
) -> MsgGenerator[str]:
    """Run `body(run_uid)` in one Bluesky run with the camera open; ends in the safe state whatever happens.

    Safe means: microwave off, shutter closed. Field and temperature are held: a field that goes off below Tc ends a
    zero-field-cool history for ever.

    Parameters
    ----------
    resumed
        The run of a session that died: at the camera and in the maps this one goes on under its uid.

    Returns
    -------
    str
        The run's uid.
    """
    camera: Any = rig.camera
    opened: list[str] = []

    def inside() -> MsgGenerator[None]:
        rig.control.begin()
        verdict = yield from opening_verdict(rig)
        uid = str((yield from bps.open_run({**metadata, **verdict})))
        opened.append(uid)
        at_camera = uid if resumed is None else resumed.run_uid
        before = 0 if resumed is None else resumed.sweeps
        request = CameraRun(at_camera, info.analysis, info.regions, info.sample, rig.name, before)
        yield from bps.abs_set(camera.run, request, wait=True)
        if camera.start.frames_path:
            yield from bps.declare_stream(camera, name=FRAMES, collect=True)
        yield from bps.checkpoint()
        yield from body(at_camera)

    def on_error(error: Exception) -> MsgGenerator[None]:
        asked = isinstance(error, RunEngineControlException)
        status = str(getattr(error, "exit_status", "abort")) if asked else "fail"
        yield from _close(rig, opened, status, "" if asked else str(error))

    def guarded() -> MsgGenerator[None]:
        yield from bps.stage(camera, wait=True)
        yield from bpp.contingency_wrapper(
            bpp.finalize_wrapper(with_record(rig, inside()), lambda: make_safe(rig)),
            except_plan=on_error,
            else_plan=lambda: _close(rig, opened, "success", ""),
        )

    yield from bpp.finalize_wrapper(guarded(), lambda: bps.unstage(camera, wait=True))
    return opened[0]


def make_safe(rig: Rig) -> MsgGenerator[None]:
    """Switch the microwave off and close the shutter; what fails is logged and the rest is still done."""
    steps: list[tuple[str, Any]] = []
    if rig.camera is not None:
        rig.camera.release_light()
    if rig.microwave is not None:
        steps.append(("microwave off", rig.microwave.enable))
    if rig.laser is not None:
        steps.append(("shutter closed", rig.laser.shutter))
    for what, signal in steps:
        try:
            yield from bps.mv(signal, 0)
        except RunEngineControlException:
            raise
        except Exception:
            log.exception("safe state: %s failed", what)


def _close(rig: Rig, opened: list[str], status: str, reason: str) -> MsgGenerator[None]:
    """Close the run at the camera, then in the documents, with who ended it and what the ledger says."""
    camera: Any = rig.camera
    try:
        yield from bps.abs_set(camera.run, CameraRunEnd(status), wait=True)
    except RunEngineControlException:
        raise
    except Exception:
        log.exception("the run could not be closed at the camera")
    if opened:
        ended = yield from record_requests(rig)
        verdict = yield from closing_verdict(rig)
        why = "; ".join(text for text in (reason or ended, verdict) if text)
        yield from bps.close_run(exit_status=status, reason=why)
