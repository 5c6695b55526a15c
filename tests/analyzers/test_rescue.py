"""A second try from the neighbours: more pixels, no wrong ones, the same bits however the view was cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from analyzers.fitting import fit_image
from analyzers.rescue import Unresolved, candidates, keep_unresolved, rescue, resolved
from analyzers.settings import AnalysisSettings
from analyzers.status import StatusCode
from stream.maps_file import compare_planes
from stream.messages import NoiseModel

HEIGHT, WIDTH = 40, 48
FREQUENCY_MHZ = np.concatenate([np.linspace(2825, 2889, 33), np.linspace(3369, 3433, 33)])
PASSES = np.ones(FREQUENCY_MHZ.size, np.int64)
NOISE = NoiseModel("gain", 1.0)
SETTINGS = AnalysisSettings(significance=4.5, lines=2, doublets=((0, 1),), baseline="constant")
CONTRAST = 0.02


def _half_splitting() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return 272.0 * (1 - 0.03 * np.exp(-((y - 20.0) ** 2 + (x - 24.0) ** 2) / 200.0))


def _sums(snr: float, seed: int, flat: slice | None = None, one_line: slice | None = None) -> np.ndarray:
    light = np.ones((FREQUENCY_MHZ.size, HEIGHT, WIDTH))
    for sign in (-1, 1):
        centre = 3129.0 + sign * _half_splitting()
        dip = CONTRAST / (1 + ((FREQUENCY_MHZ[:, None, None] - centre) / 8) ** 2)
        if one_line is not None and sign == 1:
            dip[:, :, one_line] = 0.0
        light -= dip
    if flat is not None:
        light[:, :, flat] = 1.0
    return np.random.default_rng(seed).poisson(light * (snr / CONTRAST) ** 2).astype(np.uint32)


def _fit(sums):
    return fit_image(sums, PASSES, FREQUENCY_MHZ, NOISE, SETTINGS, threads=1)


def _again(fit, unresolved):
    return rescue(fit, unresolved, PASSES, FREQUENCY_MHZ, NOISE, SETTINGS)


@pytest.fixture(scope="module")
def weak():
    sums = _sums(2.7, seed=1)
    return sums, _fit(sums)


def test_more_pixels_are_resolved_and_none_wrongly(weak):
    sums, fit = weak
    out, changed = _again(fit, keep_unresolved(sums, fit, 0, HEIGHT))
    before, after = resolved(fit), resolved(out)
    assert (after & ~before).sum() == changed.sum()
    assert after.mean() > before.mean() + 0.15
    doublet = out.doublet(0)
    error = (doublet.half_splitting_mhz - _half_splitting())[changed]
    assert np.abs(error).max() < 6.0
    assert 0.8 < np.std(error / doublet.half_splitting_sigma_mhz[changed]) < 1.4


def test_what_was_resolved_keeps_its_bits(weak):
    sums, fit = weak
    out, changed = _again(fit, keep_unresolved(sums, fit, 0, HEIGHT))
    for name, plane in fit.to_planes().items():
        assert np.array_equal(out.to_planes()[name][..., ~changed], plane[..., ~changed], equal_nan=True), name


@pytest.mark.parametrize("edges", [(0, 40), (0, 13, 40), (0, 1, 2, 20, 39, 40)])
def test_bands_do_not_matter(weak, edges):
    sums, fit = weak
    whole, _ = _again(fit, keep_unresolved(sums, fit, 0, HEIGHT))
    parts = [keep_unresolved(sums[:, y0:y1], fit.rows(y0, y1), y0, HEIGHT).to_arrays() for y0, y1 in pairwise(edges)]
    joined = Unresolved.of_tiles(parts)
    assert joined is not None
    out, _ = _again(fit, joined)
    assert compare_planes(whole.to_planes(), out.to_planes()) == ""


def test_pixels_without_lines_are_not_rescued_by_their_neighbours():
    """A quarter of the view has no lines at all: where it borders on strong ones, nothing is read into it."""
    rescued = tried = 0
    for seed in range(3):
        sums = _sums(8.0, seed, flat=slice(0, None, 4))
        fit = _fit(sums)
        flat = np.zeros((HEIGHT, WIDTH), bool)
        flat[:, ::4] = True
        tried += int((candidates(fit) & flat).sum())
        _, changed = _again(fit, keep_unresolved(sums, fit, 0, HEIGHT))
        rescued += int((changed & flat).sum())
    assert tried > 1000
    assert rescued < 0.01 * tried


def test_a_line_that_the_neighbours_have_and_the_pixel_lacks_is_seldom_read_into_noise():
    """A quarter of the view lacks the upper line that everything around it has."""
    rescued = tried = 0
    for seed in range(3):
        sums = _sums(8.0, seed, one_line=slice(0, None, 4))
        fit = _fit(sums)
        lacking = np.zeros((HEIGHT, WIDTH), bool)
        lacking[:, ::4] = True
        tried += int((candidates(fit) & lacking).sum())
        _, changed = _again(fit, keep_unresolved(sums, fit, 0, HEIGHT))
        rescued += int((changed & lacking).sum())
    assert tried > 1000
    assert rescued < 0.03 * tried


def test_few_resolved_neighbours_within_two_pixels_are_enough():
    """Where one pixel in ten is resolved, most of the view has three of them around: many more are found."""
    sums = _sums(1.9, seed=4)
    fit = _fit(sums)
    assert resolved(fit).mean() < 0.25
    out, changed = _again(fit, keep_unresolved(sums, fit, 0, HEIGHT))
    assert resolved(out).mean() > 1.5 * resolved(fit).mean()
    doublet = out.doublet(0)
    error = (doublet.half_splitting_mhz - _half_splitting())[changed]
    assert np.mean(np.abs(error) > 5 * doublet.half_splitting_sigma_mhz[changed]) < 0.01


def test_a_wrong_neighbourhood_is_not_believed(weak):
    """Neighbours 12 MHz off draw no pixel to them."""
    sums, fit = weak
    moved = type(fit).from_planes(fit.to_planes() | {"centre_mhz": fit.centre_mhz + np.float32(12.0)}, fit.pairs)
    _, changed = _again(moved, keep_unresolved(sums, fit, 0, HEIGHT))
    assert changed.sum() < 0.1 * candidates(fit).sum()


def test_masked_pixels_are_not_tried(weak):
    _, fit = weak
    place = tuple(np.argwhere(candidates(fit))[0])
    masked = type(fit).from_planes(fit.to_planes() | {"status": fit.status.copy()}, fit.pairs)
    masked.status[place] = StatusCode.BAD_FRAME
    assert not candidates(masked)[place]
