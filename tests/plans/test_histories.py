"""Histories, maps and calibrations as plans: their order, what they record, and what they refuse before moving."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from ophyd.utils import LimitError

from devices.epics import DeviceError
from plans.calibration_runs import (
    CameraCalibrationSettings,
    DirectionSettings,
    RubySettings,
    ThermometerSettings,
    calibrate_camera,
    calibrate_direction,
    calibrate_ruby,
    calibrate_thermometer,
)
from plans.calibrations import CoilSettings, PowerSettings, calibrate_coil, power_series
from plans.coil import fit_coil
from plans.cooling import require_coil
from plans.frequencies import FrequencyLimits
from plans.histories import zfc_field_warming
from plans.ladder import TemperatureLimits
from plans.loading import LoadingSettings, pressure_ladder
from plans.mapping import StressSettings, line_points, linecut, reference_map, stress_map, stress_sets
from plans.pressure import LoadLimits, LoadSummary
from plans.records import replay_decisions
from plans.remnant import RemnantSettings, field_cool_remnant
from plans.settings import CoilCalibration, CoolingSettings, PreconditionError, RunInfo, SweepSettings, ZfcSettings
from plans.whole_load import WholeLoadSettings, whole_load
from stream.messages import FieldHistory, SweepRole
from tests.plans.conftest import report

FIELD = SweepSettings((2857.0, 3401.0), passes=1, analysis_timeout_s=20.0)
ZERO = SweepSettings((3120.0, 3140.0, 3160.0), passes=1, analysis_timeout_s=20.0)
INFO = RunInfo(sample="S1")
QUICK = TemperatureLimits(max_step_k=70.0, closed_step_k=70.0, point_price_k=5.0)


@pytest.fixture
def engine(documents):
    _, take = documents
    engine = RunEngine({}, context_managers=[])
    engine.subscribe(take)
    yield engine
    if engine.state != "idle":
        engine.abort()


def events(rows, stream, run=None):
    descriptors = [doc for name, doc in rows if name == "descriptor" and doc["name"] == stream]
    uids = {doc["uid"] for doc in descriptors if run is None or doc["run_start"] == run}
    return [doc["data"] for name, doc in rows if name == "event" and doc["descriptor"] in uids]


def starts(rows):
    return [doc for name, doc in rows if name == "start"]


def is_safe(rig):
    return rig.microwave.enable.get(use_monitor=False) == 0 and rig.laser.shutter.get(use_monitor=False) == 0


def test_field_cool_and_remnant_in_order(bench, engine, documents):
    rows, _ = documents
    engine(field_cool_remnant(bench.rig, RemnantSettings(ZERO, FIELD), INFO))
    assert [request.history for request in bench.maker.armed] == [
        FieldHistory.ZFC_FW,
        FieldHistory.FC,
        FieldHistory.FC_REMNANT,
    ]
    assert [request.frequency_mhz.size for request in bench.maker.armed] == [3, 2, 3]
    points = events(rows, "primary")
    assert [row["cryostat_temperature_k"] for row in points] == [20.0, 20.0, 20.0]
    assert [row["magnet_field_z_gauss_rbv"] for row in points] == pytest.approx([0.0, 150.0, 0.0], abs=0.05)
    assert len(events(rows, "ruby")) == 1
    assert starts(rows)[0]["field_history"] == "FC_REMNANT"
    assert is_safe(bench.rig)


def test_a_stress_map_takes_its_field_set_and_leaves_no_field(bench, engine, documents):
    rows, _ = documents
    engine(stress_map(bench.rig, StressSettings(stress_sets(ZERO, FIELD, FIELD)), INFO))
    points = events(rows, "primary")
    assert [row["magnet_field_z_gauss_rbv"] for row in points] == pytest.approx([0.0, 97.0, 97.0], abs=0.05)
    assert [row["magnet_field_x_gauss_rbv"] for row in points] == pytest.approx([0.0, 0.0, 40.0], abs=0.05)
    roles = [request.role for request in bench.maker.armed]
    assert roles == [SweepRole.SINGLE, SweepRole.OPENING_REFERENCE, SweepRole.SINGLE]
    magnet = bench.rig.magnet
    assert magnet.field_z_gauss_rbv.get(use_monitor=False) == pytest.approx(0.0, abs=0.05)
    assert magnet.field_x_gauss_rbv.get(use_monitor=False) == pytest.approx(0.0, abs=0.05)


def test_the_whole_load_runs_from_stress_to_remnant_and_its_runs_name_each_other(bench, engine, documents):
    rows, _ = documents
    bench.builder.answer = lambda run, sweep: report(run, sweep, open_fraction=0.0)
    warming = ZfcSettings(FIELD, zero_field_sweep=ZERO, limits=QUICK)
    settings = WholeLoadSettings(
        StressSettings(stress_sets(ZERO, FIELD, FIELD)), warming, RemnantSettings(ZERO, zero_field_map=False)
    )
    engine(whole_load(bench.rig, settings, INFO))
    stress, zfc, remnant = starts(rows)
    assert [doc["plan_name"] for doc in (stress, zfc, remnant)] == [
        "stress_map",
        "zfc_field_warming",
        "field_cool_remnant",
    ]
    assert stress["load_uid"] == zfc["load_uid"] == remnant["load_uid"]
    assert remnant["zero_field_run"] == zfc["uid"]
    first = events(rows, "primary", zfc["uid"])[:3]
    assert [row["magnet_field_z_gauss_rbv"] for row in first] == pytest.approx([97.0, 0.0, 97.0], abs=0.05)
    assert [row["cryostat_temperature_k"] for row in first] == [150.0, 20.0, 20.0]
    assert [doc["exit_status"] for name, doc in rows if name == "stop"] == ["success"] * 3


def test_a_remnant_without_any_zero_field_map_is_refused():
    with pytest.raises(ValueError, match="zero-field map"):
        WholeLoadSettings(
            StressSettings(stress_sets(ZERO, FIELD, FIELD)),
            ZfcSettings(FIELD),
            RemnantSettings(ZERO, zero_field_map=False),
        )


def test_needs_of_every_part_are_checked_before_the_first_part_moves(bench, engine, documents):
    rows, _ = documents
    stress = StressSettings(stress_sets(ZERO, FIELD, FIELD))
    strong = WholeLoadSettings(stress, ZfcSettings(FIELD), RemnantSettings(ZERO, field_gauss=9e3))
    with pytest.raises(LimitError, match="outside the rig's limits"):
        engine(whole_load(bench.rig, strong, INFO))
    across = StressSettings(stress_sets(ZERO, FIELD, FIELD, transverse_gauss=5e3))
    with pytest.raises(LimitError, match="transverse"):
        engine(stress_map(bench.rig, across, INFO))
    poor = dataclasses.replace(bench.rig, cryostat=None)
    with pytest.raises(DeviceError, match="has no cryostat"):
        engine(linecut(poor, FIELD, (0.0, 0.0), (5.0, 0.0), INFO))
    assert rows == []
    assert bench.maker.armed == []


def test_a_remanent_coil_stops_a_zero_field_cool_before_anything_moves(bench, engine, documents):
    rows, _ = documents
    coil = CoilCalibration(remanence_gauss=-0.45)
    with pytest.raises(PreconditionError, match=r"calibrate_coil found -0\.45 G"):
        engine(zfc_field_warming(bench.rig, ZfcSettings(FIELD, coil=coil), INFO))
    with pytest.raises(PreconditionError, match=r"-0\.45 G"):
        engine(field_cool_remnant(bench.rig, RemnantSettings(ZERO, coil=coil), INFO))
    with pytest.raises(PreconditionError, match="younger than"):
        require_coil(CoilCalibration(0.01, time_s=1.0), 0.3)
    require_coil(CoilCalibration(0.01), 0.3)
    assert rows == []


def test_normal_state_maps_refuse_a_cold_sample(bench, engine):
    bench.rig.cryostat.set(60.0).wait(20)
    try:
        with pytest.raises(PreconditionError, match="must start above 115 K"):
            engine(reference_map(bench.rig, FIELD, INFO))
        with pytest.raises(PreconditionError, match="must start above 115 K"):
            engine(calibrate_coil(bench.rig, CoilSettings(FIELD), INFO))
    finally:
        bench.rig.cryostat.set(150.0).wait(20)
    assert bench.maker.armed == []
    assert is_safe(bench.rig)
    with pytest.raises(ValueError, match="normal state"):
        StressSettings(stress_sets(ZERO, FIELD, FIELD), temperature_k=90.0)
    with pytest.raises(ValueError, match="normal state"):
        CoolingSettings(normal_temperature_k=100.0)


def test_reference_linecut_coil_and_powers(bench, engine, documents):
    rows, _ = documents
    engine(reference_map(bench.rig, FIELD, INFO))
    engine(linecut(bench.rig, FIELD, (-10.0, 0.0), (10.0, 5.0), INFO, count=3))
    engine(calibrate_coil(bench.rig, CoilSettings(FIELD), INFO))
    powers = PowerSettings(FIELD, microwave_dbm=(-40.0, -30.0), laser_mw=(60.0,))
    engine(power_series(bench.rig, powers, INFO))
    reference, cut, coil, series = starts(rows)
    assert bench.maker.armed[0].role is SweepRole.OPENING_REFERENCE
    assert reference["plan_name"] == "reference_map"
    assert cut["regions"]["points"]["line-02"] == [10.0, 5.0]
    fields = [row["magnet_field_z_gauss_rbv"] for row in events(rows, "primary", coil["uid"])]
    assert fields == pytest.approx([-48.0, -24.0, 0.0, 24.0, 48.0], abs=0.05)
    taken = events(rows, "primary", series["uid"])
    assert [row["microwave_power_dbm"] for row in taken] == pytest.approx([-40.0, -30.0, -40.0])
    assert taken[-1]["laser_power_mw"] == pytest.approx(60.0)
    assert bench.rig.magnet.field_z_gauss_rbv.get(use_monitor=False) == pytest.approx(0.0, abs=0.05)
    assert is_safe(bench.rig)


def test_a_line_and_a_series_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="length"):
        line_points((1.0, 1.0), (1.0, 1.0), 5)
    with pytest.raises(ValueError, match="rise"):
        PowerSettings(FIELD, microwave_dbm=(-20.0, -30.0))
    with pytest.raises(ValueError, match="both signs"):
        CoilSettings(FIELD, fields_gauss=(0.0, 10.0, 20.0, 30.0))


def test_the_coil_fit_finds_scale_and_remanence_whatever_the_shear():
    rng = np.random.default_rng(3)
    field = np.array([-48.0, -24.0, 0.0, 24.0, 48.0])
    shear = rng.uniform(5.0, 25.0, 400)
    true = np.hypot(shear, 2.8025 * (1.0015 * field[:, None] + 0.21))
    found = fit_coil(field, true + rng.normal(0.0, 0.3, true.shape), 0.3)
    assert found.remanence_gauss == pytest.approx(0.21, abs=4 * found.remanence_sigma_gauss)
    assert found.remanence_sigma_gauss < 0.055
    assert found.scale == pytest.approx(1.0015, abs=4 * found.scale_sigma)
    assert found.scale_sigma < 0.0015
    with pytest.raises(ValueError, match="no pixel"):
        fit_coil(field, np.full((5, 3), np.nan))


def test_loads_rise_by_the_membrane_until_the_onset_is_bracketed(bench, engine):
    asked: list[float] = []

    def measure(md):
        yield from ()
        bar = float(bench.rig.pressure.membrane_bar_rbv.get(use_monitor=False))
        load = 0.5 * bar
        asked.append(load)
        return LoadSummary(load, load + 1.7, 0.05 if load > 13.2 else 0.0)

    limits = LoadLimits(step_above_gpa=0.0, expected_local_gpa=14.8, maximum_gpa=20.0)
    engine(pressure_ladder(bench.rig, LoadingSettings(limits), measure))
    assert asked == sorted(asked)
    assert asked[-1] - asked[-2] == pytest.approx(0.5, abs=0.06)
    assert asked[-2] <= 13.2 < asked[-1]
    assert bench.rig.magnet.field_z_gauss_rbv.get(use_monitor=False) == pytest.approx(0.0, abs=0.05)


def test_a_cell_loaded_by_hand_is_waited_for_and_a_load_that_did_not_rise_is_refused(bench, engine):
    loads = iter([12.0, 14.0, 14.0])

    def measure(md):
        yield from ()
        load = next(loads)
        return LoadSummary(load, load + 1.0, 0.0)

    rig = dataclasses.replace(bench.rig, pressure=None)
    with pytest.raises(RunEngineInterrupted):
        engine(pressure_ladder(rig, LoadingSettings(), measure))
    assert engine.state == "paused"
    with pytest.raises(RunEngineInterrupted):
        engine.resume()
    with pytest.raises(PreconditionError, match="not above the last one"):
        engine.resume()


def test_calibrations_take_what_they_need_and_leave_the_rig_safe(bench, engine, documents):
    rows, _ = documents
    rig = bench.rig
    engine(calibrate_thermometer(rig, ThermometerSettings((150.0, 120.0))))
    engine(calibrate_ruby(rig, RubySettings(spectra=2, lamp_nm=692.9)))
    engine(calibrate_camera(rig, CameraCalibrationSettings((20.0, 50.0), frames=8), INFO))
    engine(calibrate_direction(rig, DirectionSettings(FIELD, 97.0), INFO))
    thermometer, ruby, camera, direction = starts(rows)
    assert [doc["exit_status"] for name, doc in rows if name == "stop"] == ["success"] * 4
    assert [row["cryostat_temperature_k"] for row in events(rows, "primary", thermometer["uid"])] == [150.0, 120.0]
    spectra = events(rows, "primary", ruby["uid"])
    assert len(spectra) == 2
    assert len(spectra[0]["ruby_spectrum"]) == len(spectra[0]["ruby_wavelength_nm"])
    # frequency 0 is a frame without microwave: none of these frames is an ODMR point
    assert [request.frequency_mhz.tolist() for request in bench.maker.armed[:3]] == [[0.0]] * 3
    assert [request.passes for request in bench.maker.armed[:3]] == [8, 8, 8]
    lit = events(rows, "primary", camera["uid"])
    assert [row["laser_shutter"] for row in lit] == [0, 1, 1]
    assert [row["laser_power_mw"] for row in lit[1:]] == pytest.approx([20.0, 50.0])
    assert events(rows, "primary", direction["uid"])[0]["magnet_field_z_gauss_rbv"] == pytest.approx(97.0, abs=0.05)
    assert rig.magnet.field_z_gauss_rbv.get(use_monitor=False) == pytest.approx(0.0, abs=0.05)
    assert is_safe(rig)
    rig.cryostat.set(150.0).wait(20)


def test_frames_without_microwave_and_alternating_passes_are_part_of_the_list(bench, engine, documents):
    sweep = dataclasses.replace(FIELD, frequency_mhz=(1.0, 2.0, 3.0), passes=5, off_every=2, alternate=True)
    assert sweep.listed_mhz == (0.0, 1.0, 2.0, 0.0, 3.0, 0.0, 0.0, 3.0, 0.0, 2.0, 1.0, 0.0)
    engine(reference_map(bench.rig, sweep, INFO))
    assert bench.maker.armed[0].frequency_mhz.tolist() == list(sweep.listed_mhz)
    assert bench.maker.armed[0].passes == 3


def test_a_second_warming_follows_a_new_zero_field_cool_and_is_replayed(bench, engine, documents):
    rows, _ = documents
    nothing = np.zeros(66)

    def answer(run, sweep):  # everything becomes normal between 20 and 90 K, somewhere
        return report(run, sweep) if sweep < 2 else report(run, sweep, open_fraction=0.0, tc_density_per_k=nothing)

    bench.builder.answer = answer
    settings = ZfcSettings(FIELD, limits=dataclasses.replace(QUICK, tc_goal_k=1.0), warmings=2)
    engine(zfc_field_warming(bench.rig, settings, INFO))
    points = events(rows, "primary")
    temperatures = [row["cryostat_temperature_k"] for row in points]
    first_end = temperatures.index(150.0, 1)
    first, second = temperatures[1 : first_end + 1], temperatures[first_end + 1 :]
    assert first == sorted(first)
    assert second == sorted(second)
    assert 20.0 < second[0] < first[1], "the middle of the cell that hides them"
    assert second[-1] == 150.0
    assert all(row["magnet_field_z_gauss_rbv"] == pytest.approx(97.0, abs=0.05) for row in points)
    cool = events(rows, "cooldown")
    assert sum(row["cryostat_sample_k"] < 25.0 for row in cool) >= 2, "R on both cool-downs"
    decisions = events(rows, "decision")
    assert "second warming" in decisions[-1]["decision_reason"]
    replayed = replay_decisions(rows)
    assert len(replayed) == len(decisions)
    assert all(row.same for row in replayed)


def test_averaging_ends_with_its_time(bench, engine, documents):
    rows, _ = documents
    bench.builder.answer = lambda run, sweep: report(run, sweep, sigma_s_median=0.05)
    limits = dataclasses.replace(QUICK, passes_min=1, passes_max=4)
    engine(zfc_field_warming(bench.rig, ZfcSettings(FIELD, limits=limits, averaging_max_s=1e-6), INFO))
    temperatures = [row["cryostat_temperature_k"] for row in events(rows, "primary")][1:]
    assert len(set(temperatures)) == len(temperatures), "no second sweep at a point once its time is up"


def test_the_warming_measures_where_its_lines_are(bench, engine, documents):
    rows, _ = documents
    centres = np.array([2857.0, 3401.0])[:, None] + np.linspace(-5.0, 5.0, 9)
    seen = {"line_centre_mhz": centres, "line_fwhm_mhz": np.full(2, 14.0), "line_dense": np.ones(2)}
    bench.builder.answer = lambda run, sweep: report(run, sweep, **seen)
    whole = dataclasses.replace(FIELD, frequency_mhz=tuple(np.arange(2800.0, 3460.0, 4.0)))
    limits = FrequencyLimits(points_per_width=3.0)
    engine(zfc_field_warming(bench.rig, ZfcSettings(whole, limits=QUICK, frequencies=limits), INFO))
    sizes = [request.frequency_mhz.size for request in bench.maker.armed]
    assert sizes[0] == sizes[1] == sizes[-1] == len(whole.frequency_mhz), "references and the base see everything"
    assert all(size < 0.6 * sizes[0] for size in sizes[2:-1])
    assert len(sizes) > 3
    chosen = json.loads(events(rows, "decision")[0]["decision_frequencies_json"])
    assert len(chosen) == sizes[2]
