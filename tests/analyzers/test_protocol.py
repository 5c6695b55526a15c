"""A history taken in the wrong order: the twin gives a wrong map, and the analysis says so."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analyzers.fitmap import FitMap
from analyzers.pipeline import RunMaps
from analyzers.products import make_products
from analyzers.protocol import history_flags
from analyzers.report import make_report
from devices.settings import TwinSettings
from devices.twin.rig import TwinRig
from devices.twin.spectra import resonances
from devices.twin.truth import truth_of
from stream.messages import FieldHistory, NoiseModel, RunMode, RunStart, StatePoint, SweepRole, SweepStart

TWIN = TwinSettings(height=48, width=48, pixel_size_um=2.0)
TRUTH = truth_of(TWIN)
SIGMA_MHZ = 0.05


class Experiment:
    """A twin, and the maps of what is swept on it: fits of its true lines with a little noise."""

    def __init__(self) -> None:
        self.rig = TwinRig(TWIN)
        self.rig.shutter = self.rig.microwave_enable = 1
        noise = NoiseModel("gain", 8.0)
        start = RunStart(
            "run", RunMode.SIMULATED, 48, 48, "<u2", noise, {}, dict(TRUTH.regions()), pixel_size_um=TWIN.pixel_size_um
        )
        self.maps = RunMaps.of(start)

    def temperature(self, kelvin: float) -> None:
        assert self.rig.set_temperature_k(kelvin) == ""
        while not self.rig.cryostat.settled:
            self.rig.advance(30.0)

    def field(self, gauss: float) -> None:
        assert self.rig.set_field_gauss("z", gauss) == ""
        while not self.rig.field_done:
            self.rig.advance(5.0)

    def sweep(self, role: SweepRole = SweepRole.WARMING):
        state, number = self.rig.state(), len(self.maps.finals)
        centre = resonances(TRUTH, state).centre_mhz.astype(float)
        four = np.stack([centre[0], centre[2::2].mean(axis=0), centre[3::2].mean(axis=0), centre[1]])
        four += SIGMA_MHZ * np.random.default_rng(number).standard_normal(four.shape)
        empty = FitMap.empty(4, ((0, 3), (1, 2)), 48, 48)
        good = {name: np.zeros_like(getattr(empty, name)) for name in ("line_status", "doublet_status", "status")}
        fit = dataclasses.replace(
            empty,
            centre_mhz=four.astype(np.float32),
            centre_mhz_sigma=np.full(four.shape, SIGMA_MHZ, np.float32),
            pair_correlation=np.zeros((2, 48, 48), np.float32),
            **good,
        )
        start = SweepStart("run", number, role, state.point(), np.linspace(2800.0, 3460.0, 120), 4)
        (maps,) = self.maps.add(start, fit)
        return maps

    def median_s(self, maps) -> float:
        cold = TRUTH.sample & (TRUTH.tc_local_k > 40.0) & ~TRUTH.ruby & ~TRUTH.leads
        return float(np.nanmedian(maps.ratio.s[cold]))


@pytest.fixture
def experiment():
    made = Experiment()
    made.field(97.0)
    opening = made.sweep(SweepRole.OPENING_REFERENCE)
    assert history_flags(opening.start) == ()
    return made


def test_the_right_order_gives_the_right_map_without_a_flag(experiment):
    experiment.field(0.0)
    experiment.temperature(20.0)
    experiment.field(97.0)
    maps = experiment.sweep()
    assert experiment.median_s(maps) == pytest.approx(0.957, abs=0.01)
    experiment.temperature(60.0)
    warmer = experiment.sweep()
    assert experiment.median_s(maps) < experiment.median_s(warmer) < 1.0
    assert make_report(experiment.maps, warmer, None).valid
    assert experiment.maps.attributes(maps)["history_flags"] == []
    products = make_products(experiment.maps)
    assert products is not None
    assert products.attributes["history_flags"] == {}


def test_a_field_that_was_left_on_while_cooling_hides_the_superconductor_and_is_flagged(experiment):
    experiment.temperature(20.0)
    maps = experiment.sweep()
    assert abs(experiment.median_s(maps) - 1.0) < 0.005, "a map that looks normal"
    report = make_report(experiment.maps, maps, None)
    assert not report.valid
    assert "history is FC, but s of a warming needs a zero-field cool" in report.reason
    products = make_products(experiment.maps)
    assert products is not None
    assert list(products.attributes["history_flags"]) == ["1"]  # pyright: ignore[reportArgumentType]


def test_a_pulse_of_field_in_the_cold_is_wrong_and_flagged(experiment):
    experiment.field(0.0)
    experiment.temperature(20.0)
    for gauss in (150.0, 0.0, 97.0):
        experiment.field(gauss)
    maps = experiment.sweep()
    right = 1.0 - 0.957
    assert abs((1.0 - experiment.median_s(maps)) / right - 1.0) > 0.2
    assert "nobody knows" in make_report(experiment.maps, maps, None).reason
    assert len(history_flags(maps.start)) == 1


def test_a_point_colder_than_the_warmest_since_field_on_is_that_of_the_warmest(experiment):
    experiment.field(0.0)
    experiment.temperature(20.0)
    experiment.field(97.0)
    experiment.temperature(65.0)
    warm = experiment.sweep()
    experiment.temperature(30.0)
    again = experiment.sweep()
    assert experiment.median_s(again) == pytest.approx(experiment.median_s(warm), abs=0.002)
    (flag,) = history_flags(again.start)
    assert "was at 65" in flag
    assert "not of 30" in flag


def test_references_and_single_sweeps_are_not_judged():
    state = StatePoint(20.0, 20.0, 60.0, 97.0, FieldHistory.FC)
    for role in (SweepRole.SINGLE, SweepRole.OPENING_REFERENCE, SweepRole.CLOSING_REFERENCE):
        assert history_flags(SweepStart("run", 0, role, state, np.linspace(2800.0, 3460.0, 3), 1)) == ()
