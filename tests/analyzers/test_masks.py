"""Bad pixels: found from frames whatever the bands, counted, and harmless to everything around them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyzers.masks import PixelFlag, find_flags
from analyzers.offline import maps_of_measurement
from analyzers.settings import AnalysisSettings
from analyzers.status import StatusCode
from devices.settings import CameraSettings, TwinSettings
from devices.twin.camera import TwinCamera
from stream.messages import FieldHistory, SweepRequest, SweepRole
from tests.analyzers import synthetic
from tests.devices.twin.test_camera import FREQUENCY, state

HOT, DEAD, SATURATED, NAN = (5, 7), (20, 11), (9, 30), (28, 3)


def _frames() -> np.ndarray:
    rng = np.random.default_rng(3)
    light = synthetic.light(150.0, synthetic.FREQUENCY_MHZ)
    return (rng.poisson(light * 8.0) / 8.0).astype(np.float32)


def _spoiled() -> np.ndarray:
    frames = _frames()
    frames[:, *HOT] *= 1.5
    frames[:, *DEAD] = 0.0
    frames[:, *SATURATED] = 65_535.0
    frames[7, *NAN] = np.nan
    frames[:, 28, 4] = np.nan
    return frames


def _maps(frames, **changes):
    settings = replace(AnalysisSettings(saturation_counts=60_000.0), **changes)
    run = maps_of_measurement(frames, synthetic.FREQUENCY_MHZ, synthetic.NOISE, settings, threads=1)
    return run.maps.finals[0], run.maps


@pytest.fixture(scope="module")
def spoiled():
    return _maps(_spoiled())


def test_each_kind_is_found_and_counted(spoiled):
    maps, run = spoiled
    assert maps.flags[HOT] == PixelFlag.HOT
    assert maps.flags[DEAD] == PixelFlag.DEAD
    assert maps.flags[SATURATED] == PixelFlag.SATURATED
    assert maps.flags[28, 4] == PixelFlag.UNUSABLE
    assert np.count_nonzero(maps.flags) == 4
    counts = run.attributes(maps)["pixel_flags"]
    assert counts == {"hot": 1, "dead": 1, "saturated": 1, "unusable": 1, "given": 0, "rescued": 0}
    for pixel in (HOT, DEAD, SATURATED, (28, 4)):
        assert maps.fit.status[pixel] == StatusCode.BAD_FRAME
        assert np.isnan(maps.fit.centre_mhz[:, *pixel]).all()


def test_no_other_pixel_changes_by_a_bit(spoiled):
    clean, _ = _maps(_frames())
    keep = np.ones(clean.flags.shape, bool)
    for pixel in (HOT, DEAD, SATURATED, NAN, (28, 4)):
        keep[pixel] = False
    assert not clean.flags.any()
    for name, plane in spoiled[0].fit.to_planes().items():
        assert np.array_equal(plane[..., keep], clean.fit.to_planes()[name][..., keep], equal_nan=True), name


def test_one_nan_in_a_spectrum_leaves_the_rest_of_it(spoiled):
    assert spoiled[0].fit.status[NAN] == StatusCode.OK


def test_pixels_given_by_the_settings_are_masked_and_change_the_version():
    maps, run = _maps(_frames(), mask_pixels=((3, 4), (500, 500)))
    assert maps.fit.status[3, 4] == StatusCode.MASKED
    assert run.attributes(maps)["pixel_flags"]["given"] == 1
    assert run.version != _maps(_frames())[1].version


def test_the_search_can_be_turned_off():
    maps, _ = _maps(_spoiled(), find_bad_pixels=False)
    assert maps.flags[HOT] == 0
    assert maps.fit.status[HOT] == StatusCode.OK
    assert maps.flags[DEAD] == PixelFlag.DEAD


def test_the_twin_has_no_bad_pixel_and_a_planted_one_is_found():
    """Ruby, leads, fringes and the sample's edge are none of the camera's faults."""
    camera = TwinCamera(TwinSettings(), CameraSettings(), state(20.0).to_json)
    camera.arm(SweepRequest("run", 1, SweepRole.WARMING, FREQUENCY, 1, 0, FieldHistory.ZFC_FW))
    light = camera.noise_free(32).astype(np.float32) - 100.0
    empty = _maps(_frames())[0].fit
    fit = replace(empty, baseline=light, status=np.zeros(light.shape, np.uint8))
    assert not find_flags(fit).any()
    fit.baseline[40, 41] *= 1.6
    assert np.argwhere(find_flags(fit)).tolist() == [[40, 41]]
