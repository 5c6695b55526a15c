"""A plan file as a user writes one: it names devices and plans, no twin, no bridge and no PV."""

from __future__ import annotations

from bluesky import plan_stubs as bps

from plans.adaptive import TemperatureLimits
from plans.histories import zfc_field_warming
from plans.settings import RunInfo, SweepSettings, ZfcSettings

SWEEP = SweepSettings((2857.0, 2870.0, 3401.0), passes=2, microwave_power_dbm=-20.0, analysis_timeout_s=20.0)


def measure(rig):
    """Load by 2 bar, then cool in zero field and warm in 97 G."""
    present = yield from bps.rd(rig.pressure.membrane_bar_rbv)
    yield from bps.mv(rig.pressure, present + 2.0)
    yield from bps.mv(rig.transport, 20.0)
    settings = ZfcSettings(SWEEP, base_temperature_k=60.0, limits=TemperatureLimits(point_price_k=0.5))
    yield from zfc_field_warming(rig, settings, RunInfo(sample="S1"))
