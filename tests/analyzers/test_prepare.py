"""Binning and frames without microwaves: the noise stays right, the drift goes, and no cut into bands matters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyzers.assembly import RegionSums, SweepAssembly
from analyzers.band import Band
from analyzers.cube import Cube
from analyzers.fitmap import FitMap
from analyzers.offline import fit_and_keep, fit_cube
from analyzers.pipeline import RunMaps
from analyzers.prepare import fit_terms, prepare_sums
from analyzers.regions import regions_of
from analyzers.settings import AnalysisSettings
from analyzers.spectrum import normalise
from analyzers.status import StatusCode
from stream.leases import band_step, split_rows
from stream.maps_file import compare_planes
from stream.messages import NoiseModel, SweepRole, SweepStart
from stream.worker_link import BandGranted
from tests.analyzers import synthetic

HALF_MHZ = 0.5 * (synthetic.CENTRES[3] - synthetic.CENTRES[0])
OFFSET = 100.0
NOISE = NoiseModel("gain", 8.0, offset_counts=OFFSET, read_noise_electrons=20.0)


def _run(**analysis) -> RunMaps:
    return RunMaps.of(synthetic.run_start(analysis=analysis, noise=NOISE))


def _sweep(frequency_mhz=synthetic.FREQUENCY_MHZ, passes=1) -> SweepStart:
    state, _ = synthetic.SyntheticMaker().arm(synthetic.sweep_request(0, 150.0))
    return SweepStart("run-1", 0, SweepRole.SINGLE, state, frequency_mhz, passes)


def _cube(frequency_mhz=synthetic.FREQUENCY_MHZ, drift=None, counts=0.1, seed=1) -> Cube:
    """Return one noisy pass; `counts` scales the light, `drift` (f,) multiplies it frame by frame."""
    light = np.array(synthetic.light(150.0, np.where(frequency_mhz == 0, 1.0, frequency_mhz))) * counts
    if drift is not None:
        light *= drift[:, None, None]
    rng = np.random.default_rng(seed)
    electrons = rng.poisson(light * 8.0) + 20.0 * rng.standard_normal(light.shape)
    cube = Cube(frequency_mhz.size, synthetic.HEIGHT, synthetic.WIDTH, "<u2")
    for index, frame in enumerate(np.rint(electrons / 8.0 + OFFSET).astype("<u2")):
        cube.add(index, frame)
    return cube


def _banded(run: RunMaps, sweep: SweepStart, cube: Cube, edges) -> dict[str, np.ndarray]:
    """Fit the cube as workers do, band by band, and lay the tiles together as the builder does."""
    assembly = SweepAssembly(sweep, synthetic.HEIGHT, synthetic.WIDTH, run.settings.bin_px)
    for lease, (y0, y1) in enumerate(edges, start=1):
        band = Band(BandGranted(run.camera, sweep, y0, y1, lease), run.settings, regions_of(run.camera), "w")
        band.cube.restore(cube.sums[:, y0:y1], cube.passes_added)
        assembly.add(band.fit())
    assert assembly.complete
    fit = FitMap.from_planes(assembly.planes(), run.settings.doublets)
    (maps,) = run.add(sweep, fit, assembly.unresolved())
    return dict(maps.planes())


@pytest.mark.parametrize("n", [2, 4])
def test_binned_sigma_is_right_and_smaller(n):
    run, sweep = _run(bin_px=n), _sweep()
    fine, coarse = (fit_cube(of, sweep, _cube(counts=0.5)) for of in (_run(), run))
    assert coarse.shape == (synthetic.HEIGHT // n, synthetic.WIDTH // n)
    narrow, wide = coarse.doublet(0), fine.doublet(0)
    ratio = np.nanmedian(wide.half_splitting_sigma_mhz) / np.nanmedian(narrow.half_splitting_sigma_mhz)
    assert ratio == pytest.approx(n, rel=0.12)
    pull = (narrow.half_splitting_mhz - HALF_MHZ) / narrow.half_splitting_sigma_mhz
    assert np.nanstd(pull) == pytest.approx(1.0, abs=0.2)
    assert np.nanmedian(coarse.chi2) == pytest.approx(1.0, abs=0.06)
    assert run.start.pixel_size_um == n * run.camera.pixel_size_um


@pytest.mark.parametrize(("n", "bands"), [(1, 3), (2, 3), (3, 4), (5, 2)])
def test_bands_of_a_binned_run_give_the_bits_of_the_whole(n, bands):
    run, sweep, cube = _run(bin_px=n), _sweep(), _cube(counts=0.02)
    edges = split_rows(synthetic.HEIGHT, bands, band_step(run.camera))
    (whole,) = _run(bin_px=n).add(sweep, *fit_and_keep(run, sweep, cube, threads=1))
    assert compare_planes(_banded(_run(bin_px=n), sweep, cube, edges), dict(whole.planes())) == ""
    assert all(y0 % n == 0 for y0, _ in edges)


def test_a_band_that_cuts_a_bin_is_refused():
    run = _run(bin_px=2)
    with pytest.raises(ValueError, match="cuts bins of 2"):
        Band(BandGranted(run.camera, _sweep(), 3, 8, 1), run.settings, run.regions, "w")


def test_bad_pixels_within_a_bin():
    settings = AnalysisSettings(bin_px=2, mask_pixels=((0, 0), *((y, x) for y in (4, 5) for x in (6, 7))))
    run, sweep, cube = _run(**settings.to_json()), _sweep(), _cube(counts=0.5)
    cube.sums[:, 0, 0] = 60_000
    (maps,) = run.add(sweep, *fit_and_keep(run, sweep, cube))
    assert maps.fit.status[2, 3] == StatusCode.MASKED
    assert maps.fit.status[0, 0] == StatusCode.OK
    assert maps.fit.baseline[0, 0] == pytest.approx(0.75 * maps.fit.baseline[0, 1], rel=0.02)
    saturating = replace(settings, saturation_counts=50_000.0, mask_pixels=())
    again = _run(**saturating.to_json())
    assert fit_cube(again, sweep, cube).status[0, 0] == StatusCode.BAD_FRAME


WITH_OFF = np.insert(synthetic.FREQUENCY_MHZ, np.arange(0, synthetic.FREQUENCY_MHZ.size, 6), 0.0)
DRIFT = 1.0 + 0.03 * np.sin(np.linspace(0, 4, WITH_OFF.size)) + np.linspace(0, 0.02, WITH_OFF.size)


def _pulls(fit) -> np.ndarray:
    doublet = fit.doublet(0)
    return (doublet.half_splitting_mhz - HALF_MHZ) / doublet.half_splitting_sigma_mhz


def test_frames_without_microwaves_take_the_drift_out():
    run, sweep = _run(), _sweep(WITH_OFF)
    fit = fit_cube(run, sweep, _cube(WITH_OFF, DRIFT, counts=1.0))
    assert (fit.doublet(0).status == StatusCode.OK).all()
    assert np.std(_pulls(fit)) == pytest.approx(1.0, abs=0.15)
    assert abs(np.mean(_pulls(fit))) < 0.3
    assert np.median(fit.chi2) == pytest.approx(1.0, abs=0.1)
    fitted = WITH_OFF != 0
    plain = Cube(int(fitted.sum()), synthetic.HEIGHT, synthetic.WIDTH, "<u2")
    plain.restore(_cube(WITH_OFF, DRIFT, counts=1.0).sums[fitted], np.ones(len(plain.sums), np.int64))
    assert np.median(fit_cube(run, _sweep(WITH_OFF[fitted]), plain).chi2) > 3.0


def test_their_noise_is_in_sigma():
    noise = fit_terms(WITH_OFF, np.ones(WITH_OFF.size, np.int64), 40, NOISE, AnalysisSettings()).noise
    assert 1.0 + 0.5 / 40 < noise.excess_noise_factor < 1.0 + 1.0 / 40
    single = fit_terms(WITH_OFF, np.ones(WITH_OFF.size, np.int64), 1, NOISE, AnalysisSettings()).noise
    assert 1.5 < single.excess_noise_factor < 2.0


@pytest.mark.parametrize("edges", [((0, 7), (7, 32)), ((0, 1), (1, 2), (2, 32))])
def test_bands_do_not_matter_to_the_drift(edges):
    run, sweep, cube = _run(), _sweep(WITH_OFF), _cube(WITH_OFF, DRIFT)
    (whole,) = _run().add(sweep, *fit_and_keep(run, sweep, cube, threads=1))
    assert compare_planes(_banded(_run(), sweep, cube, edges), dict(whole.planes())) == ""
    assert run.attributes(whole)["microwave_off_frames"] == np.count_nonzero(WITH_OFF == 0)


def test_without_such_frames_nothing_is_touched():
    cube, run = _cube(), _run()
    assert prepare_sums(cube.sums, cube.passes_added, _sweep(), run.camera, run.settings) is cube.sums
    assert fit_terms(synthetic.FREQUENCY_MHZ, cube.passes_added, 40, NOISE, run.settings).noise is NOISE


def test_a_region_spectrum_loses_the_drift_too():
    cube = _cube(WITH_OFF, DRIFT, counts=1.0)
    pixels = synthetic.HEIGHT * synthetic.WIDTH
    sums = RegionSums(cube.sums.sum(axis=(1, 2), dtype=np.uint64), np.full(WITH_OFF.size, pixels, np.uint64))
    found = normalise(sums, WITH_OFF, NOISE)
    assert found.frequency_mhz.size == synthetic.FREQUENCY_MHZ.size
    away = (found.frequency_mhz > 3060) & (found.frequency_mhz < 3080)
    assert np.abs(found.signal[away] - found.signal[away].mean()).max() < 2e-3


def test_a_sweep_of_frames_without_microwaves_alone_is_no_map_and_no_error():
    terms = fit_terms(np.zeros(1), np.array([60]), 40, NOISE, AnalysisSettings())
    assert terms.passes.tolist() == [0]
    assert terms.noise.read_noise_electrons == NOISE.read_noise_electrons
