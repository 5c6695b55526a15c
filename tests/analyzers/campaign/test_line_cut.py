"""Spectra along a line through the sample, from the frames of a run."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.campaign.line_cut import line_cut
from benchmarks.twin_runs import BRIGHT, warming, write_runs
from devices.settings import TwinSettings
from devices.twin.truth import truth_of
from physics.constants import GAMMA_MHZ_PER_GAUSS

TWIN = TwinSettings(height=16, width=16, pixel_size_um=5.0, electrons_per_frame=BRIGHT)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    data = tmp_path_factory.mktemp("cut")
    write_runs(data, TWIN, [warming("cut-21", 21.0, 0, (9.0,))])
    return str(data / "frames" / "cut-21.h5")


def test_the_lines_lie_where_the_field_is_and_the_places_on_the_sample(frames):
    truth = truth_of(TWIN, 21.0)
    cut = line_cut(frames, 1, truth.sample, TWIN.pixel_size_um)
    row = round(float(np.nonzero(truth.sample)[0].mean()))
    columns = np.flatnonzero(truth.sample[row])
    assert cut.x_um == pytest.approx(truth.x_um[row, columns[0] : columns[-1] + 1])
    assert (np.diff(cut.frequency_mhz) > 0).all()
    assert cut.signal.shape == (cut.x_um.size, cut.frequency_mhz.size)
    assert np.abs(np.percentile(cut.signal, 90.0, axis=1) - 1.0).max() < 1e-9
    below, above = cut.frequency_mhz < 2930.0, cut.frequency_mhz > 3330.0
    low, high = cut.signal[:, below].argmin(1), cut.signal[:, above].argmin(1)
    apart = cut.frequency_mhz[above][high] - cut.frequency_mhz[below][low]
    field = apart / (2.0 * GAMMA_MHZ_PER_GAUSS.value)
    # a grid of 4 MHz, and 1 - s of up to 6 %
    assert np.abs(field - 97.0).max() < 7.0
    assert np.median(field) < 96.0


def test_a_sweep_that_is_not_there_and_other_pixels_give_no_cut(frames):
    sample = truth_of(TWIN, 21.0).sample
    assert line_cut(frames, 9, sample, 5.0).signal.size == 0
    assert line_cut(frames, 1, sample[:8], 5.0).signal.size == 0
