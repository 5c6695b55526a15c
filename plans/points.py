"""One measured point of a history: R, sweep, state, journal, analysis, in that order everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import MsgGenerator

from devices.camera_requests import SweepPlan
from devices.rig import Rig
from plans.history import history_now
from plans.journal import Journal
from plans.settings import RunInfo, SweepSettings
from plans.stubs import measure_transport, odmr_sweep, read_now, record_state, wait_analysis
from stream.messages import FieldHistory, SweepRole


@dataclass
class Points:
    """Measures the points of one run."""

    rig: Rig
    """The connected rig."""
    info: RunInfo
    """What the run is about."""
    run_uid: str
    """The Bluesky run."""
    journal: Journal
    """Keeps count."""

    def measure(
        self, sweep: SweepSettings, role: SweepRole, history: FieldHistory, passes: int = 0
    ) -> MsgGenerator[float]:
        """Take one point and return the sample's temperature, K.

        Parameters
        ----------
        sweep
            How the sweep is taken.
        role, history
            What it is for, and how the sample got here as the plan believes; the ledger, where there is one, knows.
        passes
            Passes instead of those of `sweep`; 0 keeps them.
        """
        number, temperature = yield from self._take(sweep, role, history, passes)
        yield from wait_analysis(self.rig, self.run_uid, number, sweep.analysis_timeout_s)
        return temperature

    def expose(self, sweep: SweepSettings, role: SweepRole, history: FieldHistory) -> MsgGenerator[None]:
        """Take one point and wait for no map of it: frames that hold no lines, or a sweep that decides nothing."""
        yield from self._take(sweep, role, history, 0)

    def _take(
        self, sweep: SweepSettings, role: SweepRole, history: FieldHistory, passes: int
    ) -> MsgGenerator[tuple[int, float]]:
        """Return the number of the sweep and the sample's temperature, K."""
        cryostat: Any = self.rig.cryostat
        resistance = yield from measure_transport(self.rig)
        load = yield from self._load_index()
        known = yield from history_now(self.rig, history)
        plan = SweepPlan(role, sweep.listed_mhz, sweep.traversals(passes), load, known)
        number = yield from odmr_sweep(self.rig, plan, sweep)
        temperature = 0.0 if cryostat is None else (yield from read_now(cryostat.sample_k))
        yield from record_state(self.rig)
        yield from self.journal.point(temperature, resistance)
        return number, temperature

    def _load_index(self) -> MsgGenerator[int]:
        membrane: Any = self.rig.pressure
        if membrane is None:
            return self.info.load_index
        return int((yield from bps.rd(membrane.load_index)))
