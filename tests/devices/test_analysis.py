"""The analysis as a device: waits for the right final report, and turns silence into a reading."""

from __future__ import annotations

import time

import numpy as np
import pytest

from devices.analysis import CANDIDATES, Analysis, Expectation, fixed_length
from stream.settings import StreamSettings
from stream.state import StatePublisher


@pytest.fixture
def stream(tmp_path):
    return StreamSettings(runtime_dir=str(tmp_path / "r"), data_dir=str(tmp_path / "d"), heartbeat_s=0.05)


@pytest.fixture
def builder(stream):
    with StatePublisher(stream, "builder") as publisher:
        yield publisher


@pytest.fixture
def analysis(stream):
    device = Analysis(stream)
    yield device
    device.destroy()


def publish(builder, run_uid, sweep, **changes):
    values = {
        "run_uid": run_uid,
        "sweep": sweep,
        "revision": 3,
        "final": True,
        "valid": True,
        "reason": "",
        "temperature_k": 20.0,
        "field_gauss": 97.0,
        "fraction_changed": 0.3,
        "s_median": 0.98,
        "s_low": 0.95,
        "s_high": 1.05,
        "sigma_s_median": 1e-3,
        "sigma_zz_mean_gpa": 21.0,
        "coverage": 0.97,
        "frames_lost": 0,
        "time_s": time.time(),
        "tc_sigma_median_k": 3.0,
        "open_fraction": 0.8,
    }
    arrays = {"candidate_temperature_k": np.arange(21.0, 61.0), "tc_density_per_k": np.full(40, 0.02)}
    arrays["expected_information_bits"] = np.linspace(0.5, 0.0, 40)
    builder.publish("analysis", {**values, **changes}, arrays)


def ask(device, run_uid, sweep, timeout_s=10.0):
    device.prepare(Expectation(run_uid, sweep, timeout_s)).wait(5)
    return device.trigger()


def test_the_final_report_of_the_sweep_is_waited_for(analysis, builder):
    status = ask(analysis, "run", 4)
    publish(builder, "run", 3)
    publish(builder, "other", 4)
    publish(builder, "run", 4, final=False, s_low=0.5)
    assert not status.done
    publish(builder, "run", 4)
    status.wait(10)
    reading = analysis.read()
    assert reading["analysis_valid"]["value"] == 1
    assert reading["analysis_sweep"]["value"] == 4
    assert reading["analysis_s_low"]["value"] == 0.95
    assert reading["analysis_candidate_temperature_k"]["value"].shape == (CANDIDATES,)
    assert analysis.answer.candidate_temperature_k.size == 40
    assert reading["analysis_expected_information_bits"]["value"][0] == 0.5
    assert analysis.answer.expected_information_bits.size == 40


def test_a_report_that_came_before_the_question_counts(analysis, builder):
    publish(builder, "run", 0)
    ask(analysis, "run", 0).wait(10)
    assert analysis.valid.get() == 1


def test_silence_is_a_reading_and_not_an_error(analysis):
    status = ask(analysis, "run", 7, timeout_s=0.3)
    status.wait(10)
    assert status.success
    assert analysis.valid.get() == 0
    assert "no final map of sweep 7 within 0.3 s" in analysis.reason.get()
    for key, row in analysis.read().items():
        value = row["value"]
        assert isinstance(value, str) or np.isfinite(value).all(), key


def test_numbers_that_are_not_finite_are_not_valid(analysis, builder):
    publish(builder, "run", 1, s_median=float("nan"))
    ask(analysis, "run", 1).wait(10)
    assert analysis.valid.get() == 0
    assert "not finite" in analysis.reason.get()
    assert np.isfinite(analysis.s_median.get())


def test_shape_of_the_documents_is_fixed(analysis, builder):
    before = {key: row["shape"] for key, row in analysis.describe().items()}
    publish(builder, "run", 2)
    ask(analysis, "run", 2).wait(10)
    assert {key: row["shape"] for key, row in analysis.describe().items()} == before


def test_long_candidate_lists_keep_their_share():
    x = np.linspace(20.0, 150.0, 1000)
    y = np.exp(-0.5 * ((x - 70.0) / 8.0) ** 2)
    grid, density = fixed_length(x, y)
    assert grid.size == density.size == CANDIDATES
    assert np.trapezoid(density, grid) == pytest.approx(np.trapezoid(y, x), rel=1e-2)
    assert fixed_length(np.zeros(0), np.zeros(0))[0].shape == (CANDIDATES,)
