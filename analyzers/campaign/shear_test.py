"""Does shear, at fixed sigma_ZZ, suppress the response? A test against a null that is simulated forward.

Stress maps are smooth, and so is what disorder does to s: two smooth fields on one sample look related by chance, and
permuting blocks does not undo that. Here the null is built as the sample would make it without any shear dependence:
the same outline and stress maps, a response that depends on sigma_ZZ freely, disorder with the covariance that fits the
data best, the field of a plate of that magnetisation over itself, and the noise. Draws of it go through the very same
fit as the data; their shear coefficients say how large a chance coefficient is.

The plate: b_z = (M - P_t M) / 2, with P_t M the field of the far face, a Poisson kernel of the thickness t. What a weak
coherent film adds is one more shape, that of a film of the same outline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, linalg, ndimage, sparse
from scipy.sparse.linalg import splu

from analyzers.campaign.blocks import padded_shape

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEVEL = 0.02
"""A shear dependence is reported below this p: below the 5 % of false positives allowed, for the model's sake."""
SMALLEST_CHANGE = 0.02
"""Relative change of the mean response up to which a dependence is put down to the model."""
DRAWS = 199
"""Simulations of the null."""
MOST_CELLS = 160
"""Cells that a map is averaged to: the fit costs their third power."""
KNOTS = 5
"""Hat functions of sigma_ZZ, from its lowest to its highest value on the sample."""
LENGTHS_UM = (2.0, 4.0, 8.0, 14.0, 24.0)
"""Correlation lengths of the disorder that are tried."""
DISORDER_SHARES = (0.05, 0.5, 0.9, 0.99)
"""Shares of the variance beyond the means that are disorder; the rest is noise of each cell."""
FEWEST_CELLS = 40
"""With fewer cells nothing can be said."""


@dataclass(frozen=True)
class ShearTest:
    """What the test says of one map."""

    change: float
    """Relative change of the mean response that goes with tau^2 at fixed sigma_ZZ: negative where shear suppresses."""
    change_sigma: float
    """Its standard deviation by the fit alone."""
    p_value: float
    """Share of the null's draws, the data among them, whose change over its sigma is as low as the data's, that raised
    by `SMALLEST_CHANGE`."""
    draws: int
    """Simulations of the null."""
    cells: int
    """Cells that were compared."""
    effective_cells: float
    """Independent cells with the same information on a mean."""
    correlation_um: float
    """Correlation length of the disorder, um."""
    disorder_share: float
    """Share of the variance that is disorder."""
    thickness_um: float
    """Thickness of the plate, um."""
    reason: str = ""
    """Why there is no result; empty where there is."""

    @property
    def suppresses(self) -> bool:
        """Whether shear is reported to suppress the response."""
        return not self.reason and self.p_value <= LEVEL


def no_test(reason: str, cells: int = 0) -> ShearTest:
    """Return a test without a result."""
    nan = float("nan")
    return ShearTest(nan, nan, nan, 0, cells, nan, nan, nan, nan, reason)


def plate_field(magnetisation: Array, pixel_um: float, thickness_um: float) -> Array:
    """Return (y, x) b_z right above a plate with magnetisation (y, x) along z, in units of mu0 M."""
    shape = padded_shape(magnetisation.shape)
    ky = 2.0 * np.pi * np.fft.fftfreq(shape[0], pixel_um)[:, None]
    kx = 2.0 * np.pi * np.fft.rfftfreq(shape[1], pixel_um)[None, :]
    spectrum = np.asarray(fft.rfft2(magnetisation, s=shape)) * 0.5 * (1.0 - np.exp(-np.hypot(kx, ky) * thickness_um))
    back = np.asarray(fft.irfft2(spectrum, s=shape), dtype=np.float64)
    return back[: magnetisation.shape[0], : magnetisation.shape[1]]


def film_field(sample: Mask, pixel_um: float) -> Array:
    """Return (y, x) b_z of a uniform, weakly screening film of an outline, up to a factor.

    The stream function g of a film whose Pearl length is far above its size obeys Laplace g = 1 with g = 0 at the rim.
    """
    number = np.full(sample.shape, -1)
    number[sample] = np.arange(np.count_nonzero(sample))
    rows: list[NDArray[np.int64]] = []
    columns: list[NDArray[np.int64]] = []
    for axis in (0, 1):
        for step in (-1, 1):
            other = np.roll(number, step, axis=axis)[sample]
            rows.append(number[sample][other >= 0])
            columns.append(other[other >= 0])
    size = int(np.count_nonzero(sample))
    row, column = np.concatenate(rows), np.concatenate(columns)
    matrix = sparse.csc_matrix((np.ones(row.size), (row, column)), shape=(size, size)) - 4.0 * sparse.eye(size)
    stream = np.zeros(sample.shape)
    stream[sample] = splu(sparse.csc_matrix(matrix)).solve(np.ones(size))
    shape = padded_shape(sample.shape)
    ky = np.fft.fftfreq(shape[0], pixel_um)[:, None]
    kx = np.fft.rfftfreq(shape[1], pixel_um)[None, :]
    back = np.asarray(fft.irfft2(np.asarray(fft.rfft2(stream, s=shape)) * np.hypot(kx, ky), s=shape))
    field = back[: sample.shape[0], : sample.shape[1]]
    return field / np.abs(field[sample]).max()


@dataclass(frozen=True)
class _Cells:
    """Averages of planes over square cells of the judged sample."""

    label: NDArray[np.int64]
    """(y, x) number of the cell, -1 where none."""
    count: int
    """Cells."""
    pixels: Array
    """(c,) pixels of each."""
    centre_um: Array
    """(c, 2) its centre, um."""

    def mean(self, plane: Array) -> Array:
        """Return (c,) the mean of a plane over each cell."""
        inside = self.label >= 0
        return np.bincount(self.label[inside], plane[inside], self.count) / self.pixels


def _cells(usable: Mask, pixel_um: float) -> _Cells:
    edge = max(1, int(np.ceil(np.sqrt(np.count_nonzero(usable) / MOST_CELLS))))
    rows, columns = np.indices(usable.shape)
    key = (rows // edge) * (usable.shape[1] // edge + 1) + columns // edge
    kept, counts = np.unique(key[usable], return_counts=True)
    kept = kept[counts >= 0.5 * edge * edge]
    position = np.searchsorted(kept, key)
    known = usable & (position < kept.size)
    known &= kept[np.minimum(position, kept.size - 1)] == key if kept.size else False
    label = np.where(known, position, -1)
    pixels = np.bincount(label[known], minlength=kept.size).astype(np.float64)
    axes = np.asarray(rows), np.asarray(columns)
    centre = [np.bincount(label[known], axis[known], kept.size) / pixels * pixel_um for axis in axes]
    return _Cells(label, kept.size, pixels, np.stack(centre, axis=1) if kept.size else np.zeros((0, 2)))


def _hats(values: Array, knots: Array) -> list[Array]:
    """Return the piecewise linear functions that are 1 at one knot each."""
    unit = np.eye(knots.size)
    return [np.interp(values, knots, row) for row in unit]


def _filled(plane: Array, known: Mask) -> Array:
    """Return a plane whose missing pixels take the nearest known value."""
    if known.all():
        return plane
    places: NDArray[np.int64] = np.asarray(
        ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True), dtype=np.int64
    )
    return np.asarray(plane[places[0], places[1]], dtype=np.float64)


class _Model:
    """Means and covariances of one map for one thickness, factorised once for the data and every draw."""

    def __init__(self, cells: _Cells, means: Array, pixel_um: float, thickness_um: float) -> None:
        self.means = means
        separation = np.linalg.norm(cells.centre_um[:, None] - cells.centre_um[None], axis=2)
        area = pixel_um**2 * float(np.median(cells.pixels))
        far = area * thickness_um / (2.0 * np.pi * (separation**2 + thickness_um**2) ** 1.5)
        plate = 0.5 * (np.eye(cells.count) - far)
        noise = float(np.median(cells.pixels)) / cells.pixels
        self.factors: list[tuple[float, float, Array, float]] = []
        for length in LENGTHS_UM:
            disorder = plate @ np.exp(-((separation / length) ** 1.5)) @ plate.T
            disorder /= np.trace(disorder) / cells.count
            for share in DISORDER_SHARES:
                lower = linalg.cholesky(share * disorder + (1.0 - share) * np.diag(noise), lower=True)
                self.factors.append((length, share, lower, float(np.log(np.diag(lower)).sum())))

    def whiten(self, values: Array) -> list[Array]:
        """Return values (c, n) times the inverse factor of each covariance."""
        return [linalg.solve_triangular(lower, values, lower=True) for _, _, lower, _ in self.factors]


def _restricted_likelihood(residual: Array, log_root: float, log_design: float, free: int) -> Array:
    """Return the restricted log likelihood with the variance profiled out, per column of the residual."""
    return -0.5 * free * np.log((residual**2).sum(axis=0) / free) - log_root - log_design


def _fit(model: _Model, design: Array, values: Array) -> tuple[NDArray[np.int64], Array, Array, Array]:
    """Return (best covariance, coefficient of the last mean, its sigma, restricted likelihood) per column of values."""
    count, columns = design.shape
    draws = values.shape[1]
    best = np.full(draws, -np.inf)
    which = np.zeros(draws, np.int64)
    coefficient, sigma = np.zeros(draws), np.ones(draws)
    for number, (whole, factor) in enumerate(
        zip(model.whiten(np.hstack([design, values])), model.factors, strict=True)
    ):
        q, r = np.linalg.qr(whole[:, :columns])
        projected = q.T @ whole[:, columns:]
        residual = whole[:, columns:] - q @ projected
        free = count - columns
        likelihood = _restricted_likelihood(residual, factor[3], float(np.log(np.abs(np.diag(r))).sum()), free)
        # the last mean alone in the last row of r: its coefficient needs no back substitution
        now = projected[-1] / r[-1, -1]
        error = np.sqrt((residual**2).sum(axis=0) / free) / abs(r[-1, -1])
        better = likelihood > best
        best = np.where(better, likelihood, best)
        which = np.where(better, number, which)
        coefficient, sigma = np.where(better, now, coefficient), np.where(better, error, sigma)
    return which, coefficient, sigma, best


def shear_test(
    suppression: Array,
    sigma_zz_gpa: Array,
    tau_gpa: Array,
    sample: Mask,
    judged: Mask,
    pixel_um: float,
    thickness_um: tuple[float, ...] = (4.0, 6.0, 9.0),
    covariates: tuple[Array, ...] = (),
    draws: int = DRAWS,
    seed: int = 0,
) -> ShearTest:
    """Test whether shear suppresses the response at fixed sigma_ZZ.

    Parameters
    ----------
    suppression
        (y, x) 1 - s, at one temperature or averaged over several (`mean_suppression`).
    sigma_zz_gpa, tau_gpa
        (y, x) stress maps, GPa.
    sample
        (y, x) outline: where there is magnetisation.
    judged
        (y, x) pixels that are compared; those without a value are left out.
    pixel_um
        Edge of a pixel, um.
    thickness_um
        Thicknesses that the plate may have, um: the one under which shear says least counts.
    covariates
        (y, x) further fields that the response may depend on, such as La:Ni minus its optimum, squared.
    draws, seed
        Simulations of the null, and their seed.
    """
    usable = judged & np.isfinite(suppression) & np.isfinite(sigma_zz_gpa) & np.isfinite(tau_gpa)
    cells = _cells(usable, pixel_um)
    if cells.count < FEWEST_CELLS:
        return no_test(f"{cells.count} cells with s, sigma_ZZ and tau; at least {FEWEST_CELLS} are needed", cells.count)
    stress, shear = (
        _filled(plane, usable if plane is not sigma_zz_gpa else np.isfinite(plane) & sample)
        for plane in (sigma_zz_gpa, tau_gpa)
    )
    knots = np.unique(np.quantile(stress[usable], np.linspace(0.0, 1.0, KNOTS)))
    hats = [np.where(sample, hat, 0.0) for hat in _hats(stress, knots)]
    extra = [np.where(sample, _filled(plane, np.isfinite(plane)), 0.0) for plane in covariates]
    amplitude = _amplitude(suppression, hats, usable)
    film = cells.mean(film_field(sample, pixel_um))
    data = cells.mean(suppression)[:, None]
    tests: list[ShearTest] = []
    for thickness in thickness_um:
        plates = [cells.mean(plate_field(image, pixel_um, thickness)) for image in (*hats, *extra)]
        means = _independent(np.stack([*plates, film, np.ones(cells.count)], axis=1))
        model = _Model(cells, means, pixel_um, thickness)
        which = int(_fit(model, means, data)[0][0])
        reduced = np.where(sample, amplitude * shear**2, 0.0)
        column = cells.mean(plate_field(reduced, pixel_um, thickness))[:, None]
        tests.append(_judge(model, which, means, column, data, thickness, draws, seed))
    return max(tests, key=lambda test: (test.p_value, test.change))


def _independent(means: Array) -> Array:
    """Return the columns that are not combinations of those before them."""
    kept: list[Array] = []
    for column in means.T:
        rest = column / max(float(np.linalg.norm(column)), 1e-300)
        if kept:
            basis = np.linalg.qr(np.stack(kept, axis=1))[0]
            rest = rest - basis @ (basis.T @ rest)
        if np.linalg.norm(rest) > 1e-4:
            kept.append(column / np.linalg.norm(column))
    return np.stack(kept, axis=1)


def _amplitude(suppression: Array, hats: list[Array], usable: Mask) -> Array:
    """Return (y, x) how much there is at each sigma_ZZ for shear to take away: 1 in the mean, never negative."""
    design = np.stack([hat[usable] for hat in hats], axis=1)
    level = np.maximum(0.0, np.linalg.lstsq(design, suppression[usable], rcond=None)[0])
    total = np.asarray(sum((one * hat for one, hat in zip(level, hats, strict=True)), np.zeros(usable.shape)))
    mean = float(total[usable].mean())
    return total / mean if mean > 0 else np.ones(usable.shape)


def _judge(
    model: _Model, which: int, means: Array, column: Array, data: Array, thickness_um: float, draws: int, seed: int
) -> ShearTest:
    """Fit the data and the draws of the null with the shear's shape, and compare."""
    length, share, lower, _ = model.factors[which]
    white = linalg.solve_triangular(lower, np.hstack([means, data]), lower=True)
    solution = np.linalg.lstsq(white[:, :-1], white[:, -1], rcond=None)[0]
    free = data.size - means.shape[1]
    scale = float(np.sqrt(((white[:, -1] - white[:, :-1] @ solution) ** 2).sum() / free))
    random = np.random.default_rng(seed).standard_normal((data.size, draws))
    null = (means @ solution)[:, None] + scale * (lower @ random)
    design = np.hstack([means, column])
    chosen, coefficient, sigma, _ = _fit(model, design, np.hstack([data, null]))
    change = float(column.mean() / data.mean())
    score = coefficient / sigma
    score[0] += SMALLEST_CHANGE / abs(change * sigma[0])
    p = (1 + int(np.count_nonzero(score[1:] <= score[0]))) / (draws + 1)
    ones = linalg.solve_triangular(lower, np.ones((data.size, 1)), lower=True)
    mean_variance = float(np.mean(np.diag(lower @ lower.T)))
    length, share = model.factors[int(chosen[0])][:2]
    return ShearTest(
        change=change * float(coefficient[0]),
        change_sigma=abs(change) * float(sigma[0]),
        p_value=p,
        draws=draws,
        cells=data.size,
        effective_cells=float((ones**2).sum() * mean_variance),
        correlation_um=length,
        disorder_share=share,
        thickness_um=thickness_um,
    )


def mean_suppression(temperature_k: Array, s: Array, from_k: float = 0.0, to_k: float = 85.0) -> Array:
    """Return (y, x) 1 - s averaged over temperature by the trapezoid rule; NaN where one is missing.

    The average over the whole warming holds Tc as well as size: a place whose Tc shear lowers has less of it.
    """
    chosen = (temperature_k >= from_k) & (temperature_k <= to_k)
    if np.count_nonzero(chosen) == 1:
        return np.asarray(1.0 - s[chosen][0])
    t, values = temperature_k[chosen], 1.0 - s[chosen]
    order = np.argsort(t)
    return np.asarray(np.trapezoid(values[order], t[order], axis=0) / (t[order][-1] - t[order][0]))
