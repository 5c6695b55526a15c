"""Trapped flux from splittings whose truth is known: values, errors, and upper limits that hold."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.campaign.blocks import block_labels
from analyzers.campaign.collect_remnant import collect_remnant
from analyzers.campaign.load_maps import CampaignError
from analyzers.campaign.remnant import SUPPRESSION_EDGES, checked_transverse, flux_against_suppression, trapped_flux
from analyzers.map_planes import MAP_DESCRIPTIONS, MAP_UNITS
from physics.constants import GAMMA_MHZ_PER_GAUSS
from stream.maps_file import read_maps, write_maps
from tests.analyzers.campaign.stored_campaign import VERSION, write_remnant
from tests.analyzers.campaign.twin_loads import BASE_K, COOLED_IN_GAUSS, bare_splittings, load_of, trapped_truth, twin

SIGMA_MHZ = 0.3
PIXELS = 4000


def _measured(b_gauss: float, transverse_mhz: float, seed: int = 0, same_state: bool = True, off: float = 1.0):
    """Return the trapped flux of many pixels of one truth; `off`: true E_perp over that of the zero-field map."""
    random = np.random.default_rng(seed)
    transverse = np.full((1, PIXELS), transverse_mhz)
    half = np.hypot(GAMMA_MHZ_PER_GAUSS.value * b_gauss, off * transverse)
    sigma = np.full(transverse.shape, SIGMA_MHZ)
    noise = SIGMA_MHZ * random.standard_normal((2, *transverse.shape))
    return trapped_flux(half + noise[0], sigma, transverse + noise[1], sigma, same_state)


@pytest.mark.parametrize(("b_gauss", "transverse_mhz"), [(10.0, 23.0), (6.0, 12.0), (15.0, 5.0)])
def test_a_clear_field_comes_back_with_its_error(b_gauss, transverse_mhz):
    found = _measured(b_gauss, transverse_mhz)
    assert not found.limited.any()
    assert np.median(found.b_gauss) == pytest.approx(b_gauss, rel=0.01)
    pull = (found.b_gauss - b_gauss) / found.b_sigma_gauss
    assert 0.9 < np.std(pull) < 1.1


@pytest.mark.parametrize("transverse_mhz", [5.0, 12.0, 23.0])
@pytest.mark.parametrize("b_gauss", [0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0])
def test_the_limit_lies_above_the_truth_in_95_of_100(b_gauss, transverse_mhz):
    found = _measured(b_gauss, transverse_mhz, seed=1)
    assert (found.limit_gauss >= b_gauss).mean() > 0.94


def test_a_field_below_the_transverse_splitting_gives_a_limit_only():
    none, faint = _measured(0.0, 23.0), _measured(1.0, 23.0)
    for found in (none, faint):
        assert found.limited.mean() > 0.99
        assert np.isnan(found.b_gauss[found.limited]).all()
        assert np.isfinite(found.limit_gauss[found.limited]).all()
    assert 1.5 < np.median(none.limit_gauss) < 3.0  # about 2 G at 23 MHz and 0.3 MHz


def test_a_zero_field_map_of_another_state_feigns_no_field():
    """Shear that grew by 5 % on cooling looks like 2.5 G; as a fallback its map is not trusted that far."""
    trusted = _measured(0.0, 23.0, off=1.05)
    assert np.nanmedian(trusted.b_gauss) > 2.0
    fallback = _measured(0.0, 23.0, off=1.05, same_state=False)
    assert fallback.limited.all()
    assert np.median(fallback.limit_gauss) > 2.5


def test_a_pixel_that_was_not_measured_says_nothing():
    half = np.array([[20.0, np.nan, 20.0]])
    bare = np.array([[10.0, 10.0, np.nan]])
    sigma = np.full(half.shape, SIGMA_MHZ)
    found = trapped_flux(half, sigma, bare, sigma, same_state=True)
    assert np.isfinite(found.b_gauss).tolist() == [[True, False, False]]
    assert np.isfinite(found.limit_gauss).tolist() == [[True, False, False]]
    assert not found.limited.any()


def test_trapped_flux_of_the_twin_against_its_suppression():
    """A field cool leaves flux where a zero-field cool keeps it out, as much as the twin has; the core has none."""
    settings = twin("S1", 1, 64)
    truth, before, after, sigma = bare_splittings(settings, 21.0)
    flux = trapped_flux(after, sigma, before, sigma, same_state=True)
    suppression = 1.0 - truth.noise_free_s(BASE_K)
    judged = truth.sample & ~truth.ruby & ~truth.leads
    block = block_labels(judged.shape, settings.pixel_size_um, 2.0)
    found = flux_against_suppression(flux, suppression, judged, block)
    true = np.abs(trapped_truth(truth))
    middle = 0.5 * (SUPPRESSION_EDGES[1:] + SUPPRESSION_EDGES[:-1])
    strong = np.flatnonzero((found.binned.count > 20) & (middle > 0.045))
    assert strong.size >= 2
    for number in strong:
        inside = judged & (suppression >= SUPPRESSION_EDGES[number]) & (suppression < SUPPRESSION_EDGES[number + 1])
        seen = inside & np.isfinite(flux.b_gauss)
        assert found.binned.count[number] == np.count_nonzero(seen)
        assert found.binned.mean[number] == pytest.approx(true[seen].mean(), rel=0.05)
    assert found.binned.mean[strong[-1]] > 0.03 * COOLED_IN_GAUSS
    core = judged & (np.abs(suppression) < 0.005) & (true < 0.5)
    assert flux.limited[core].mean() > 0.95
    assert (flux.limit_gauss >= true)[judged & np.isfinite(flux.limit_gauss)].mean() > 0.94
    resolved_or_limited = found.binned.count + found.limited
    assert resolved_or_limited.sum() == np.count_nonzero(
        judged & np.isfinite(flux.limit_gauss) & (suppression >= SUPPRESSION_EDGES[0]) & (suppression < 0.2)
    )


def test_bins_without_a_limit_have_none():
    shape = (1, 4)
    sigma = np.full(shape, SIGMA_MHZ)
    flux = trapped_flux(np.full(shape, 30.0), sigma, np.full(shape, 10.0), sigma, same_state=True)
    found = flux_against_suppression(flux, np.full(shape, 0.055), np.ones(shape, np.bool_), np.zeros(shape, np.int64))
    assert found.limited.sum() == 0
    assert np.isnan(found.median_limit_gauss).all()
    assert found.binned.count.sum() == 4


def test_a_tilted_line_taken_for_one_of_the_doublet_gives_no_false_limit():
    """At little shear the [111] lines overlap without field, and a tilted line may be taken for one of them."""
    truth, before, after, sigma = bare_splittings(twin("S1", 1, 40), 21.0)
    field = np.abs(trapped_truth(truth))
    judged = truth.sample & (field > 4.0) & (truth.tau_gpa < 1.0)
    fooled = np.where(judged, before + 14.0, before)
    tau = np.abs(truth.tau_gpa)
    transverse, error, wrong = checked_transverse(fooled, sigma, tau, 10.0)
    assert (wrong == judged).mean() > 0.999
    believed = trapped_flux(after, sigma, fooled, sigma, same_state=True)
    checked = trapped_flux(after, sigma, transverse, error, same_state=True)
    assert (believed.limit_gauss < field)[judged].mean() > 0.5
    assert np.isfinite(checked.b_gauss[judged]).all()
    assert (np.abs(checked.b_gauss - field) < 3.0 * checked.b_sigma_gauss)[judged].mean() > 0.97
    assert not checked_transverse(before, sigma, np.full(tau.shape, np.nan), 10.0)[2].any()


def test_a_remnant_map_that_does_not_belong_is_refused(tmp_path):
    settings = twin("S1", 1, 40)
    load = load_of(settings, 21.0, 1, (9.0, 60.0, 105.0), tc=False)
    uid = write_remnant(tmp_path, load, 21.0)
    folder = tmp_path / "processed" / uid / VERSION
    remnant, bare = str(folder / "sweep_0001.h5"), str(folder / "sweep_0000.h5")
    assert collect_remnant(remnant, bare, "S1", 1, (40, 40)).same_state
    with pytest.raises(CampaignError, match="is of sample 'S1', load 1, the warming of 'S2'"):
        collect_remnant(remnant, bare, "S2", 1, (40, 40))
    with pytest.raises(CampaignError, match="load 1, the warming of 'S1', load 2"):
        collect_remnant(remnant, bare, "S1", 2, (40, 40))
    with pytest.raises(CampaignError, match="register it onto that grid"):
        collect_remnant(remnant, bare, "S1", 1, (20, 20))
    planes, facts = read_maps(bare)
    state = {**facts["sweep_start"]["state"], "field_gauss": 97.0}
    in_field = tmp_path / "in_field.h5"
    moved = {**facts, "sweep_start": {**facts["sweep_start"], "state": state}}
    write_maps(in_field, planes, MAP_UNITS, MAP_DESCRIPTIONS, moved)
    with pytest.raises(CampaignError, match="taken at 97 G; a map without field"):
        collect_remnant(remnant, str(in_field), "S1", 1, (40, 40))
    warm = {
        **facts,
        "sweep_start": {**facts["sweep_start"], "state": {**facts["sweep_start"]["state"], "temperature_k": 150.0}},
    }
    write_maps(tmp_path / "warm.h5", planes, MAP_UNITS, MAP_DESCRIPTIONS, warm)
    assert not collect_remnant(remnant, str(tmp_path / "warm.h5"), "S1", 1, (40, 40)).same_state
    assert np.isnan(collect_remnant("", "", "S1", 1, (40, 40)).flux.limit_gauss).all()
