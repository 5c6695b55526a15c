"""The compiled arithmetic against plain numpy: shapes, normal equations of sixteen fits, templates, slots."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from analyzers.kernels import programs, shapes
from analyzers.kernels.codes import GAUSSIAN, LORENTZIAN, PSEUDO_VOIGT
from analyzers.kernels.judge import assign_slots
from analyzers.kernels.lanes import WIDTH
from analyzers.kernels.matched import make_bank, peel
from analyzers.kernels.programs import CHUNK, tag, triangle


@njit
def _lines(shape, mixing, offsets, f, centre, fwhm):
    return shapes.line(shape, mixing, offsets, f, centre, fwhm)


@njit
def _accumulate(signal, grid, offsets, baseline, theta, sums, scratch, lines_tag, level_tag, parts_tag, shape_tag):
    programs.accumulate(
        signal,
        grid,
        signal.shape[0],
        offsets,
        baseline,
        theta,
        sums,
        scratch,
        lines_tag,
        level_tag,
        parts_tag,
        shape_tag,
    )


@njit
def _exp(z):
    return shapes.exp_negative(z)


def test_our_exponential_is_exact() -> None:
    z = np.linspace(0, 39.9, 1000)
    assert np.allclose([_exp(v) for v in z], np.exp(-z), rtol=1e-14, atol=0)
    assert _exp(50.0) == 0.0
    assert _exp(np.nan) == 0.0


@pytest.mark.parametrize("shape", [LORENTZIAN, GAUSSIAN, PSEUDO_VOIGT])
@pytest.mark.parametrize("offsets", [(0.0,), (-2.16, 0.0, 2.16), (-1.515, 1.515)])
def test_line_derivatives(shape: int, offsets: tuple[float, ...]) -> None:
    shifts, step = np.array(offsets), 1e-5
    for f in (2860.0, 2868.0, 2870.5, 2891.0):
        height, by_centre, by_fwhm = _lines(shape, 0.4, shifts, f, 2870.0, 12.0)
        up = _lines(shape, 0.4, shifts, f, 2870.0 + step, 12.0)[0]
        down = _lines(shape, 0.4, shifts, f, 2870.0 - step, 12.0)[0]
        assert by_centre == pytest.approx((up - down) / (2 * step), abs=1e-8)
        up = _lines(shape, 0.4, shifts, f, 2870.0, 12.0 + step)[0]
        down = _lines(shape, 0.4, shifts, f, 2870.0, 12.0 - step)[0]
        assert by_fwhm == pytest.approx((up - down) / (2 * step), abs=1e-8)
        assert 0 <= height <= 1


def test_half_width_is_half_height() -> None:
    for shape in (LORENTZIAN, GAUSSIAN, PSEUDO_VOIGT):
        assert _lines(shape, 0.4, np.zeros(1), 2876.0, 2870.0, 12.0)[0] == pytest.approx(0.5)


@pytest.mark.parametrize("shape", [LORENTZIAN, GAUSSIAN, PSEUDO_VOIGT])
@pytest.mark.parametrize(("lines", "level", "parts"), [(1, 2, 1), (2, 1, 3), (4, 2, 1)])
def test_normal_equations_of_sixteen_fits(shape: int, lines: int, level: int, parts: int) -> None:
    random = np.random.default_rng(0)
    n, p = 5 * CHUNK, level + 3 * lines
    x = np.sort(random.uniform(-60, 60, n)).astype(np.float32)
    root = random.uniform(0.5, 1.5, n).astype(np.float32)
    u = (x / 60).astype(np.float32)
    grid = np.stack([x, root, root * u, np.full(n, 0.4, np.float32)], axis=1)
    offsets = np.array([0.0] if parts == 1 else [-2.16, 0.0, 2.16], np.float32)
    theta = np.zeros((p, WIDTH), np.float32)
    theta[:level] = random.normal(0, 1e-3, (level, WIDTH))
    for k in range(lines):
        theta[level + 3 * k] = random.uniform(-0.02, 0.02, WIDTH)
        theta[level + 3 * k + 1] = random.uniform(-50, 50, WIDTH)
        theta[level + 3 * k + 2] = random.uniform(8, 20, WIDTH)
    signal = (random.normal(0, 1e-3, (n, WIDTH)) * root[:, None]).astype(np.float32)
    weight = root.astype(float) ** 2
    baseline = np.array([weight.sum(), (weight * u).sum(), (weight * u * u).sum()], np.float32)
    sums = np.zeros((triangle(p, p) + 1, WIDTH), np.float32)
    scratch = np.zeros((CHUNK * (p + 1), WIDTH), np.float32)
    tags = tag(lines), tag(level), tag(parts), tag(shape + 1)
    _accumulate(signal, grid, offsets, baseline, theta, sums, scratch, *tags)
    assert " double" not in next(iter(_accumulate.inspect_llvm().values())).split("define", 2)[1]
    kc, ks = programs.basis_scales(shape)
    for lane in (0, 7, WIDTH - 1):
        rows, model = [np.ones(n), u.astype(float)][:level], np.zeros(n)
        for a in range(level):
            model += theta[a, lane] * rows[a]
        for k in range(lines):
            amplitude, centre, width = theta[level + 3 * k : level + 3 * k + 3, lane].astype(float)
            triple = np.array([_lines(shape, 0.4, offsets.astype(float), v, centre, width) for v in x.astype(float)]).T
            rows += [triple[0], triple[1] * width / kc, triple[2] * width / ks]
            model += amplitude * triple[0]
        jacobian = np.array(rows).T * root[:, None]
        rest = signal[:, lane] - model * root
        matrix = jacobian.T @ jacobian
        mine = np.array([[sums[triangle(max(a, b), min(a, b)), lane] for b in range(p)] for a in range(p)])
        assert np.allclose(mine, matrix, rtol=1e-4, atol=2e-5 * matrix.max())
        assert np.allclose(
            sums[triangle(p, 0) : triangle(p, 0) + p, lane], jacobian.T @ rest, atol=2e-5 * np.abs(rest).sum()
        )
        assert sums[triangle(p, p), lane] == pytest.approx(float(rest @ rest), rel=1e-4)


def test_peeling_finds_lines_on_an_uneven_list() -> None:
    f = np.concatenate(
        [np.arange(2800.0, 2900.0, 3.0), np.arange(2900.0, 3100.0, 17.0), np.arange(3100.0, 3200.0, 5.0)]
    )
    truth = [(2851.0, -0.01), (3147.0, -0.006), (2875.0, 0.004)]
    signal = sum(c * shapes.line_profile(LORENTZIAN, 0.5, np.zeros(1), f, centre, 14.0) for centre, c in truth)
    bank = make_bank(f, (LORENTZIAN, 0.5, np.zeros(1)), [8.0, 14.0, 25.0], 4.0)
    corr, found = np.empty(len(bank[1])), np.empty((3, 3))
    assert peel(bank, bank[3], np.asarray(signal), corr, 0.8, False, found) == 3
    for (centre, contrast), amplitude, at in zip(truth, found[0], found[1], strict=True):
        assert at == pytest.approx(centre, abs=6)
        assert np.sign(amplitude) == np.sign(contrast)


def test_lines_take_the_numbers_of_the_nearest_guesses() -> None:
    slots = np.empty(4, np.int64)
    guesses = np.array([2857.0, 3100.0, 3285.0, 3401.0])
    preferred = np.array([0, 3, 1, 2])
    assign_slots(np.array([2860.0, 3290.0, 3395.0]), 3, guesses, 4, preferred, slots)
    assert slots[:3].tolist() == [0, 2, 3]
    assign_slots(np.array([2860.0, 3395.0]), 2, np.empty(0), 4, preferred, slots)
    assert slots[:2].tolist() == [0, 3]
    assign_slots(np.array([2860.0, 2900.0, 3300.0, 3395.0]), 4, np.empty(0), 4, preferred, slots)
    assert slots.tolist() == [0, 1, 2, 3]
