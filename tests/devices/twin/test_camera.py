"""Frames of the twin: physics, noise, and the same bits from the same state."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from devices.settings import CameraSettings, TwinSettings
from devices.twin.camera import TwinCamera
from devices.twin.history import FieldStep
from devices.twin.optics import shift_px
from devices.twin.spectra import resonances
from devices.twin.state import TwinState, TwinStateError, state_from_text
from devices.twin.truth import truth_of
from physics.constants import GAMMA_MHZ_PER_GAUSS
from stream.messages import FieldHistory, SweepRequest, SweepRole

TWIN = TwinSettings()
CAMERA = CameraSettings()
FREQUENCY = np.concatenate(
    [np.linspace(2800, 2915, 30), np.linspace(2945, 3055, 5), np.linspace(3070, 3320, 56), np.linspace(3345, 3460, 29)]
)


def state(temperature_k=150.0, field_gauss=97.0, steps=(), **changes):
    values = TwinState(
        sample="S1",
        seed=1,
        load_index=0,
        load_gpa=21.0,
        sample_temperature_k=temperature_k,
        stage_temperature_k=temperature_k,
        temperature_max_since_field_k=temperature_k,
        field_xyz_gauss=(0.0, 0.0, field_gauss),
        history=FieldHistory.ZFC_FW,
        field_steps=steps,
        microwave_power_dbm=-20.0,
        microwave_enable=1,
        laser_power_mw=100.0,
        shutter=1,
    )
    return replace(values, **changes)


def request(run_uid="run", sweep=0):
    return SweepRequest(run_uid, sweep, SweepRole.WARMING, FREQUENCY, 4, 0, FieldHistory.ZFC_FW)


def armed(at, asked=None, twin=TWIN):
    camera = TwinCamera(twin, CAMERA, at.to_json)
    camera.arm(asked or request())
    return camera


def splitting(at):
    centre = resonances(truth_of(TWIN), at).centre_mhz.astype(float)
    return 0.5 * (centre[1] - centre[0])


def test_97_gauss_splits_the_111_lines_by_543_7_mhz():
    truth = truth_of(replace(TWIN, miscut_deg=0.0))
    quiet = truth.sample & (truth.tau_gpa < 0.5)
    centre = resonances(truth, state()).centre_mhz.astype(float)
    half = 0.5 * (centre[1] - centre[0])
    assert 2.0 * np.median(half[quiet]) == pytest.approx(543.7, abs=0.3)
    assert np.median(half[quiet]) / GAMMA_MHZ_PER_GAUSS.value == pytest.approx(97.0, abs=0.06)


@pytest.mark.parametrize("temperature_k", [20.0, 60.0])
def test_the_ratio_of_splittings_is_s(temperature_k):
    truth = truth_of(TWIN)
    ratio = splitting(state(temperature_k, steps=(FieldStep(97.0, temperature_k),))) / splitting(state())
    s = ratio / np.median(ratio[truth.far])
    np.testing.assert_allclose(s[truth.sample], truth.noise_free_s(temperature_k)[truth.sample], atol=1.5e-3)


def test_lines_are_as_sharp_and_deep_as_the_demo_needs():
    truth = truth_of(TWIN)
    lines = resonances(truth, state())
    inside = truth.sample & ~truth.ruby
    assert np.median(lines.contrast[:2, inside]) == pytest.approx(0.015, abs=0.003)
    assert np.all(lines.contrast[2:, inside] > 0.002)
    assert 12.0 < np.median(lines.fwhm_mhz[:2, inside]) < 16.0
    windows = np.array([[2800, 2915], [3345, 3460]])
    for line in (0, 1):
        centre = lines.centre_mhz[line][inside]
        assert windows[line, 0] + 10 < centre.min()
        assert centre.max() < windows[line, 1] - 10


def test_transverse_stress_can_turn_tilted_lines_bright():
    truth = truth_of(replace(TWIN, contrast_crossing_gpa=2.5))
    lines = resonances(truth, state())
    assert np.any(lines.contrast[2:] < 0.0)
    assert np.all(lines.contrast[:2] > 0.0)


def test_a_strong_transverse_stress_leaves_regions_where_no_tilted_line_can_be_seen():
    truth = truth_of(replace(TWIN, contrast_crossing_gpa=3.3))
    lines = resonances(truth, state())
    inside = truth.sample & ~truth.ruby
    weak = np.abs(lines.contrast[2:, inside]).max(axis=0) < 5e-4
    assert 0.02 < weak.mean() < 0.98
    assert np.all(lines.contrast[:2, inside] > 0.01), "the [111] lines stay"


def test_tilted_lines_of_different_groups_overlap():
    truth = truth_of(TWIN)
    lines = resonances(truth, state())
    inside = truth.sample & ~truth.ruby
    low = np.sort(lines.centre_mhz[2::2, inside], axis=0)
    assert np.mean(np.diff(low, axis=0).min(axis=0) < lines.fwhm_mhz[2, inside]) > 0.8


def test_the_same_state_request_and_number_give_the_same_bits():
    first, second = armed(state()), armed(state())
    second.frame(3, 7)
    np.testing.assert_array_equal(first.frame(1, 5), second.frame(1, 5))
    assert first.frame(1, 5).dtype == np.dtype("<u2")
    assert not np.array_equal(first.frame(1, 5), first.frame(2, 5))
    assert not np.array_equal(first.frame(1, 5), first.frame(1, 6))
    assert not np.array_equal(first.frame(1, 5), armed(state(), request(sweep=1)).frame(1, 5))
    assert not np.array_equal(first.frame(1, 5), armed(state(), request(run_uid="other")).frame(1, 5))


def test_a_state_kept_with_a_sweep_makes_its_frames_again():
    live = armed(state(40.0, steps=(FieldStep(97.0, 40.0),)))
    _, kept = live.arm(request())
    again = TwinCamera(TWIN, CAMERA, lambda: json.loads(json.dumps(kept)))
    again.arm(request())
    np.testing.assert_array_equal(live.frame(0, 15), again.frame(0, 15))


def test_noise_is_that_of_the_noise_model():
    camera = armed(state(), twin=replace(TWIN, laser_noise=0.0))
    noise = camera.noise
    residual = np.stack([camera.frame(p, 0) - camera.noise_free(0) for p in range(60)])
    electrons = (camera.noise_free(0) - noise.offset_counts) * noise.electrons_per_count
    expected = np.sqrt(electrons + noise.read_noise_electrons**2) / noise.electrons_per_count
    assert np.mean(residual / expected) == pytest.approx(0.0, abs=0.01)
    assert np.std(residual / expected) == pytest.approx(1.0, abs=0.01)
    neighbours = np.mean(residual[:, :, 1:] * residual[:, :, :-1]) / np.var(residual)
    assert abs(neighbours) < 0.01
    assert 35_000 < camera.noise_free(0).mean() < 45_000


def test_laser_noise_is_common_to_a_frame():
    camera = armed(state(), twin=replace(TWIN, laser_noise=0.003))
    means = [camera.frame(p, 0).mean() / camera.noise_free(0).mean() for p in range(200)]
    assert np.std(means) == pytest.approx(0.003, rel=0.2)


def test_a_closed_shutter_is_dark_and_microwaves_off_have_no_dips():
    dark = armed(state(shutter=0)).frame(0, 15)
    assert dark.mean() == pytest.approx(CAMERA.offset_counts, abs=1.0)
    assert dark.std() == pytest.approx(CAMERA.read_noise_electrons / CAMERA.electrons_per_count, rel=0.1)
    off, on = armed(state(microwave_enable=0)), armed(state())
    spectrum = np.stack([off.noise_free(i) for i in range(FREQUENCY.size)])
    assert np.ptp(spectrum, axis=0).max() / spectrum.mean() < 0.005
    dips = np.stack([on.noise_free(i) for i in range(FREQUENCY.size)])
    assert np.ptp(dips[:, 48, 30]) / dips[:, 48, 30].max() > 0.01


def test_nothing_saturates():
    assert armed(state()).frame(0, 0).max() < 60_000


def test_a_view_that_drifts_is_moved_as_a_whole_and_blurs_when_the_focus_walks():
    walking = replace(TWIN, view_drift_um=3.0, focus_drift=2.0)
    warm, cold = (armed(state(kelvin), twin=walking).noise_free(0) for kelvin in (150.0, 20.0))
    fixed, colder = (armed(state(kelvin)).noise_free(0) for kelvin in (150.0, 20.0))
    np.testing.assert_allclose(warm, fixed, rtol=1e-6)
    down, right = shift_px(truth_of(walking), 20.0)
    assert np.hypot(down, right) == pytest.approx(3.0)
    expected = ndimage.shift(ndimage.gaussian_filter(colder, 2.0 * truth_of(TWIN).psf_sigma_px), (down, right), order=3)
    inside = (slice(10, -10), slice(10, -10))
    # Two narrow blurs after each other are not quite one on pixels: only edges tell.
    assert np.median(np.abs(cold[inside] / expected[inside] - 1.0)) < 0.002
    assert np.abs(cold[inside] / colder[inside] - 1.0).max() > 0.1


def test_ruby_and_leads_show():
    truth = truth_of(TWIN)
    camera = armed(state())
    frame = camera.noise_free(0)
    beside = ~truth.leads & ~truth.ruby
    assert frame[truth.leads].mean() < 0.9 * frame[beside].mean()
    deep = 1.0 - np.stack([camera.noise_free(i) for i in range(30)]).min(axis=0) / frame
    assert deep[truth.ruby].mean() < 0.6 * deep[truth.sample & beside].mean()


def test_an_unarmed_camera_and_another_sample_are_refused():
    camera = TwinCamera(TWIN, CAMERA, state(sample="S2").to_json)
    with pytest.raises(TwinStateError, match="not armed"):
        camera.frame(0, 0)
    with pytest.raises(TwinStateError, match="runs S2"):
        camera.arm(request())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sample": "S1"}', "nonsense"])
def test_a_broken_state_is_refused(text):
    with pytest.raises(TwinStateError):
        state_from_text(text)


def test_a_state_survives_its_text():
    original = state(40.0, steps=(FieldStep(97.0, 40.0), FieldStep(-3.0, 50.0)))
    assert state_from_text(original.to_text()) == original
    assert original.point().field_gauss == 97.0
