"""From fits to maps: s by its definition, references, statuses, and independence of the order of sweeps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from analyzers.fitmap import FitMap
from analyzers.map_planes import MAP_DESCRIPTIONS, MAP_UNITS
from analyzers.pipeline import RunMaps
from analyzers.status import StatusCode
from analyzers.version import result_version
from stream.maps_file import compare_planes
from stream.messages import FieldHistory, NoiseModel, RunMode, RunStart, StatePoint, SweepRole, SweepStart

SHAPE = (48, 40)
SIGMA_MHZ = 0.05
CENTRES = (2857.0, 3100.0, 3280.0, 3401.0)


def _run(**changes) -> RunStart:
    square = [[-8.0, -8.0], [8.0, -8.0], [8.0, 8.0], [-8.0, 8.0]]
    values = {
        "run_uid": "run",
        "mode": RunMode.SIMULATED,
        "height": SHAPE[0],
        "width": SHAPE[1],
        "dtype": "<u2",
        "noise": NoiseModel("gain", 8.0),
        "analysis": {},
        "regions": {"sample": square, "ruby": [[4, 4], [7, 4], [7, 7], [4, 7]]},
    }
    return RunStart(**{**values, **changes})


def _sweep(number: int, role=SweepRole.WARMING, temperature_k=20.0, field_gauss=97.0) -> SweepStart:
    state = StatePoint(temperature_k, temperature_k, temperature_k, field_gauss, FieldHistory.ZFC_FW)
    return SweepStart("run", number, role, state, np.linspace(2840, 3420, 120), 4)


def _fit(s: np.ndarray | float = 1.0, common: float = 1.0, seed: int = 0) -> FitMap:
    """Make the fit of a view with field ratio `s`; `common` multiplies every field."""
    noise = SIGMA_MHZ * np.random.default_rng(seed).standard_normal((4, *SHAPE))
    half = 272.0 * common * np.broadcast_to(s, SHAPE)
    centre = np.broadcast_to(np.reshape(CENTRES, (4, 1, 1)), (4, *SHAPE)).copy()
    middle = (centre[0] + centre[3]) / 2
    centre[0], centre[3] = middle - half, middle + half
    empty = FitMap.empty(4, ((0, 3), (1, 2)), *SHAPE)
    good = {name: np.zeros_like(getattr(empty, name)) for name in ("line_status", "doublet_status", "status")}
    flat = np.zeros((2, *SHAPE), np.float32)
    sigma = np.full((4, *SHAPE), SIGMA_MHZ, np.float32)
    return dataclasses.replace(
        empty, centre_mhz=(centre + noise).astype(np.float32), centre_mhz_sigma=sigma, pair_correlation=flat, **good
    )


def _dip() -> np.ndarray:
    s = np.ones(SHAPE)
    s[18:30, 14:26] = 0.95
    return s


def _maps(*sweeps: tuple[SweepStart, FitMap]) -> RunMaps:
    run = RunMaps.of(_run())
    for sweep, fit in sweeps:
        run.add(sweep, fit)
    return run


def test_s_is_the_ratio_over_the_far_ratio():
    reference = _sweep(0, SweepRole.OPENING_REFERENCE, 150.0), _fit(seed=1)
    run = _maps(reference, (_sweep(1), _fit(_dip(), common=1.01, seed=2)))
    maps = run.finals[1]
    assert maps.ratio is not None
    assert maps.ratio.off_sample_ratio == pytest.approx(1.01, abs=2e-4)
    inside = (_dip() < 1) & run.regions.judged
    assert np.median(maps.ratio.s[inside]) == pytest.approx(0.95, abs=2e-4)
    assert maps.reference_sweep == 0


def test_sigma_s_is_the_scatter():
    reference = _sweep(0, SweepRole.OPENING_REFERENCE, 150.0), _fit(seed=3)
    run = _maps(reference, (_sweep(1), _fit(seed=4)))
    ratio = run.finals[1].ratio
    assert ratio is not None
    judged = run.regions.judged
    assert np.std(ratio.s[judged]) == pytest.approx(np.median(ratio.sigma_s[judged]), rel=0.15)


def test_unresolved_pixels_are_nan_with_their_reason():
    first, second = _fit(seed=5), _fit(seed=6)
    first.doublet_status[0, 20, 20] = StatusCode.MISSING_LINE
    second.doublet_status[0, 21, 21] = StatusCode.LOW_SNR
    run = _maps((_sweep(0, SweepRole.OPENING_REFERENCE), first), (_sweep(1), second))
    ratio = run.finals[1].ratio
    assert ratio is not None
    assert ratio.status[20, 20] == StatusCode.NO_REFERENCE
    assert ratio.status[21, 21] == StatusCode.LOW_SNR
    assert (ratio.status[run.regions.ruby] == StatusCode.OCCLUDED).all()
    assert np.array_equal(np.isfinite(ratio.s), ratio.status == StatusCode.OK)


def test_maps_do_not_depend_on_the_order_in_which_sweeps_finish():
    sweeps = [
        (_sweep(0, SweepRole.OPENING_REFERENCE), _fit(seed=1)),
        (_sweep(1), _fit(_dip(), seed=2)),
        (_sweep(2), _fit(seed=3)),
    ]
    orders = [(0, 1, 2), (2, 1, 0), (1, 0, 2)]
    results = []
    for order in orders:
        run = RunMaps.of(_run())
        for sweep, _ in sweeps:
            run.expect(sweep)
        made = [maps.start.sweep for number in order for maps in run.add(*sweeps[number])]
        assert sorted(made) == [0, 1, 2]
        results.append({number: maps.planes() for number, maps in run.finals.items()})
    for number in range(3):
        assert compare_planes(results[0][number], results[1][number]) == ""
        assert compare_planes(results[0][number], results[2][number]) == ""


def test_an_aborted_reference_is_not_waited_for():
    run = RunMaps.of(_run())
    opening, warming = _sweep(0, SweepRole.OPENING_REFERENCE), _sweep(1)
    run.expect(opening)
    run.expect(warming)
    assert run.add(warming, _fit()) == []
    (maps,) = run.abandon(0)
    assert maps.ratio is None
    assert "no complete reference" in maps.ratio_reason


@pytest.mark.parametrize(
    ("sweep", "reason"),
    [(_sweep(1, field_gauss=0.0), "97 G"), (_sweep(1, SweepRole.OPENING_REFERENCE), "is the reference")],
)
def test_why_there_is_no_s_is_said(sweep, reason):
    run = _maps((_sweep(0, SweepRole.OPENING_REFERENCE), _fit()), (sweep, _fit()))
    assert run.finals[1].ratio is None
    assert reason in run.attributes(run.finals[1])["no_s_because"]


def test_every_plane_is_documented_and_sigma_zz_is_there():
    run = _maps((_sweep(0, SweepRole.OPENING_REFERENCE), _fit()), (_sweep(1), _fit()))
    planes = run.finals[1].planes()
    assert set(planes) <= set(MAP_UNITS) & set(MAP_DESCRIPTIONS)
    assert np.isfinite(planes["sigma_zz_gpa"][run.regions.judged]).all()


def test_stress_is_carried_from_the_reference_where_the_tilted_lines_vanish():
    warm, cold = _fit(seed=1), _fit(seed=2)
    cold.doublet_status[1, 20, 20] = StatusCode.MISSING_LINE
    run = _maps((_sweep(0, SweepRole.OPENING_REFERENCE, 150.0), warm), (_sweep(1, temperature_k=150.0), cold))
    planes = run.finals[1].planes()
    assert np.isnan(planes["sigma_zz_gpa"][20, 20])
    assert planes["sigma_zz_carried_gpa"][20, 20] == pytest.approx(
        run.finals[0].planes()["sigma_zz_gpa"][20, 20], abs=0.1
    )
    assert "sigma_zz_carried_gpa" not in run.finals[0].planes()


def test_one_doublet_has_no_stress_and_says_so():
    run = RunMaps.of(_run(analysis={"lines": 2, "doublets": [[0, 1]]}))
    fit = FitMap.empty(2, ((0, 1),), *SHAPE)
    (maps,) = run.add(_sweep(0, SweepRole.SINGLE), fit)
    assert maps.stress is None
    assert "second doublet" in maps.stress_reason


def test_version_changes_with_any_setting_and_only_then():
    run = RunMaps.of(_run())
    explicit = RunMaps.of(_run(analysis={"lines": 4, "shape": "lorentzian"}))
    assert run.version == explicit.version
    assert len(run.version) == 12
    assert RunMaps.of(_run(analysis={"shape": "gaussian"})).version != run.version
    assert result_version(run.settings, "another-run") != run.version


def _moved(fit: FitMap, light: np.ndarray, rows: int = 0) -> FitMap:
    """Return a fit whose view has moved down by whole rows, with the light that shows it."""
    planes = {name: np.roll(plane, rows, axis=-2) for name, plane in fit.to_planes().items()}
    return FitMap.from_planes(planes | {"baseline": np.roll(light, rows, axis=0).astype(np.float32)}, fit.pairs)


def test_a_view_that_moved_is_put_back_where_the_settings_ask():
    light = 3e4 * np.exp(0.05 * ndimage.gaussian_filter(np.random.default_rng(9).standard_normal(SHAPE), 1.0) / 0.28)
    gradient = 1.0 + 0.002 * np.arange(SHAPE[0])[:, None]
    opening = _sweep(0, SweepRole.OPENING_REFERENCE, 150.0), _moved(_fit(gradient, seed=1), light)
    warming = _sweep(1), _moved(_fit(gradient * _dip(), seed=2), light, rows=3)
    plain, registered = (RunMaps.of(_run(analysis={"registration": on})) for on in (False, True))
    for run in (plain, registered):
        run.add(*opening)
        run.add(*warming)
    inside = (slice(19, 27), slice(15, 23))
    shift = registered.attributes(registered.finals[1])["registration"]
    assert np.abs(np.array(shift["shift_px"]) - (3.0, 0.0)).max() < 0.05
    assert np.median(registered.finals[1].ratio.s[inside]) == pytest.approx(0.95, abs=1e-3)
    assert np.median(plain.finals[1].ratio.s[19, 15:23]) > 0.98
    assert plain.attributes(plain.finals[1])["registration"] == {}
    assert plain.version != registered.version
