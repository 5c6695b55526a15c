"""From a rig file to the arguments of a plan."""

from __future__ import annotations

from analyzers.settings import AnalysisSettings
from deploy.errors import DeployError
from deploy.rig_file import RigFile
from plans.calibrations import CoilSettings
from plans.ladder import TemperatureLimits
from plans.mapping import StressSettings, stress_sets
from plans.remnant import RemnantSettings
from plans.settings import CoilCalibration, RunInfo, SweepSettings, ZfcSettings, frequencies_from_windows
from plans.whole_load import WholeLoadSettings
from stream.messages import Json

HISTORY_NEEDS = ("cryostat", "magnet", "camera")
"""Devices without which no field history can be run; the plan refuses too, but only once everything has started."""


def sweep_settings(rig_file: RigFile) -> SweepSettings:
    """Return how a sweep of this rig is taken."""
    plan = rig_file.plan
    return SweepSettings(frequencies_from_windows(plan.frequency_windows_mhz), plan.passes)


def history_settings(rig_file: RigFile, coil: CoilCalibration | None = None) -> ZfcSettings:
    """Return the zero-field cool and field warming that the rig file describes; `coil` is its newest calibration."""
    plan = rig_file.plan
    return ZfcSettings(
        sweep=sweep_settings(rig_file),
        field_gauss=plan.field_gauss,
        base_temperature_k=plan.base_temperature_k,
        tc_max_k=plan.tc_max_k,
        coil=coil,
        reference_passes=plan.reference_passes,
        limits=TemperatureLimits(
            top_k=plan.top_temperature_k,
            passes_min=plan.passes,
            passes_max=plan.passes_max,
            tc_goal_k=plan.tc_goal_k,
        ),
    )


def load_settings(rig_file: RigFile, coil: CoilCalibration | None = None) -> WholeLoadSettings:
    """Return the whole load that the rig file describes: stress map, warming, remnant.

    Raises
    ------
    DeployError
        Where it does not say which frequencies the sweeps about zero and with a transverse field take.
    """
    plan = rig_file.plan
    if not plan.zero_field_windows_mhz or not plan.across_windows_mhz:
        raise DeployError("a whole load needs zero_field_windows_mhz and across_windows_mhz in [plan] of the rig file")
    warming = history_settings(rig_file, coil)
    zero = SweepSettings(frequencies_from_windows(plan.zero_field_windows_mhz), plan.zero_field_passes)
    across = SweepSettings(frequencies_from_windows(plan.across_windows_mhz), plan.passes)
    sets = stress_sets(zero, warming.sweep, across, plan.field_gauss, plan.across_gauss)
    values = {**rig_file.analysis.to_json(), **plan.zero_field_analysis}
    return WholeLoadSettings(
        stress=StressSettings(sets, plan.top_temperature_k, warming.cooling),
        warming=warming,
        remnant=RemnantSettings(zero, warming.sweep, plan.remnant_gauss, coil=coil, cooling=warming.cooling),
        zero_field_analysis=AnalysisSettings.from_json(values).to_json(),
    )


def coil_settings(rig_file: RigFile) -> CoilSettings:
    """Return the calibration of the coil that the rig file describes.

    Raises
    ------
    DeployError
        Where it does not say which frequencies its sweeps take.
    """
    plan = rig_file.plan
    if not plan.coil_windows_mhz:
        raise DeployError("a calibration of the coil needs coil_windows_mhz in [plan] of the rig file")
    sweep = SweepSettings(frequencies_from_windows(plan.coil_windows_mhz), plan.passes)
    cooling = history_settings(rig_file).cooling
    return CoilSettings(sweep, plan.coil_fields_gauss, cooling)


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
