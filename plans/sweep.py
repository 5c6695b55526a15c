"""One sweep where everything stands."""

from __future__ import annotations

from typing import Any

from bluesky.utils import MsgGenerator

from devices.camera_requests import SweepPlan
from devices.rig import Rig
from plans.run import check_sweep, run, start_metadata
from plans.settings import RunInfo, SweepSettings
from plans.stubs import light_on, measure_transport, odmr_sweep, record_state, wait_analysis
from stream.messages import FieldHistory, SweepRole


def odmr(
    rig: Rig,
    settings: SweepSettings,
    info: RunInfo | None = None,
    *,
    history: FieldHistory = FieldHistory.UNKNOWN,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Take one sweep at the present temperature and field, and return the run's uid.

    Parameters
    ----------
    rig
        The connected rig; needs a camera.
    settings
        How the sweep is taken.
    info
        What the run is about.
    history
        How the sample got here, as far as the caller knows.
    md
        Further metadata for the start document.
    """
    about = info or RunInfo()
    check_sweep(rig, settings)
    metadata = start_metadata(rig, "odmr", settings, about, {"field_history": str(history), **(md or {})})

    def body(run_uid: str) -> MsgGenerator[None]:
        yield from light_on(rig, settings)
        yield from measure_transport(rig)
        plan = SweepPlan(SweepRole.SINGLE, settings.listed_mhz, settings.traversals(), about.load_index, history)
        sweep = yield from odmr_sweep(rig, plan, settings)
        yield from record_state(rig)
        yield from wait_analysis(rig, run_uid, sweep, settings.analysis_timeout_s)

    return (yield from run(rig, body, about, metadata))
