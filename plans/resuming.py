"""Go on with a field warming whose session died: the field stands, the ledger is unbroken, the ladder continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bluesky.utils import MsgGenerator

from devices.decision import POLICY_VERSION
from devices.rig import Rig
from plans.histories import PHASES, zfc_needs
from plans.history import require_history
from plans.journal import Journal
from plans.ladder import PointSummary
from plans.needs import require
from plans.points import Points
from plans.run import Resumed, run, start_metadata
from plans.settings import PreconditionError, RunInfo, ZfcSettings
from plans.stubs import light_on, read_now
from plans.warming import Warming
from stream.messages import FieldHistory


@dataclass(frozen=True)
class Interrupted:
    """A field warming whose session died."""

    run: Resumed
    """Where it was."""
    points: Sequence[PointSummary] = ()
    """Its points so far, as the last decision saw them."""


def resume_warming(
    rig: Rig, settings: ZfcSettings, interrupted: Interrupted, info: RunInfo | None = None
) -> MsgGenerator[str]:
    """Go on with the ladder of `zfc_field_warming` where its session died, and return the new run's uid.

    The new run names the old one (`resumes`); frames and maps go on under the old uid, beside its opening reference.

    Raises
    ------
    DeviceError, LimitError, PreconditionError
        Before anything moves: no guard, a history that is not unbroken, another field than the run's.
    """
    about = info or RunInfo()
    require(rig, zfc_needs(settings))
    rig.require("guard")
    old = interrupted.run
    protocol = {"field_history": str(FieldHistory.ZFC_FW), "policy": POLICY_VERSION, "resumes": old.run_uid}
    metadata = start_metadata(rig, "resume_warming", settings, about, protocol)

    def body(run_uid: str) -> MsgGenerator[None]:
        yield from require_history(rig, FieldHistory.ZFC_FW, "a warming that goes on")
        journal = Journal(rig, run_uid, PHASES, 20)
        warming = Warming(rig, settings, Points(rig, about, run_uid, journal))
        magnet: Any = rig.magnet
        field = yield from read_now(magnet.field_z_gauss_rbv)
        if abs(field - settings.field_gauss) > magnet.settings.tolerance_gauss:
            raise PreconditionError(f"the run was at {settings.field_gauss:g} G; the field is {field:.4g} G")
        yield from journal.phase("warming", FieldHistory.ZFC_FW)
        yield from light_on(rig, settings.sweep)
        yield from warming.go_on(interrupted.points)
        yield from journal.phase("", FieldHistory.ZFC_FW)

    return (yield from run(rig, body, about, metadata, old))
