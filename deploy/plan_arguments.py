"""From a rig file to the arguments of a plan."""

from __future__ import annotations

from deploy.rig_file import RigFile
from plans.ladder import TemperatureLimits
from plans.settings import RunInfo, SweepSettings, ZfcSettings, frequencies_from_windows
from stream.messages import Json

HISTORY_NEEDS = ("cryostat", "magnet", "camera")
"""Devices without which no field history can be run; the plan refuses too, but only once everything has started."""


def sweep_settings(rig_file: RigFile) -> SweepSettings:
    """Return how a sweep of this rig is taken."""
    plan = rig_file.plan
    return SweepSettings(frequencies_from_windows(plan.frequency_windows_mhz), plan.passes)


def history_settings(rig_file: RigFile) -> ZfcSettings:
    """Return the zero-field cool and field warming that the rig file describes."""
    plan = rig_file.plan
    return ZfcSettings(
        sweep=sweep_settings(rig_file),
        field_gauss=plan.field_gauss,
        base_temperature_k=plan.base_temperature_k,
        tc_max_k=plan.tc_max_k,
        reference_passes=plan.reference_passes,
        limits=TemperatureLimits(
            top_k=plan.top_temperature_k,
            passes_min=plan.passes,
            passes_max=plan.passes_max,
            tc_goal_k=plan.tc_goal_k,
        ),
    )


def run_info(rig_file: RigFile) -> RunInfo:
    """Return what a run on this rig is about: goes into its start document."""
    return RunInfo(
        analysis=rig_file.analysis.to_json(),
        regions=regions(rig_file),
        sample=rig_file.sample.name,
        load_index=rig_file.sample.load_index,
        constants=rig_file.analysis.stress_constants,
    )


def regions(rig_file: RigFile) -> Json:
    """Return the outlines of the rig file; on a twin whose file has none, those that the twin would show."""
    sample = rig_file.sample
    if not sample.outline_um and rig_file.twin is not None:
        from devices.twin.truth import truth_of

        return dict(truth_of(rig_file.twin).regions())
    return {
        "sample": [list(point) for point in sample.outline_um],
        "ruby": [list(point) for point in sample.ruby_um],
        "points": {name: list(point) for name, point in sample.points_um.items()},
    }
