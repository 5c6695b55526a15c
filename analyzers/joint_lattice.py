"""Which of several solutions each lattice pixel of a joint fit takes, and what other pixels begin from.

Solutions in which tilted groups change places fit the spectra of one pixel nearly as well. Stress is continuous: of all
choices, the one with the lowest chi2 plus cost of what neighbours on the lattice disagree by is taken, by messages
between neighbours (min-sum). How much higher that sum becomes with another solution in its place is what the lattice,
not the pixel alone, knows against it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

SPACING = 6
"""Pixels from one lattice pixel to the next."""
ALLOWED_GPA = 0.3
"""What each component may differ by between lattice neighbours, besides its noise, for a cost of 1."""
MOST = 20.0
"""Largest cost of a pair of neighbours: a jump of the stress costs no more."""
_ROUNDS = 40
_KEPT = 0.5
_TELLING = (1, 3, 4, 5)
_SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))
_OPPOSITE = (1, 0, 3, 2)


@dataclass(frozen=True)
class Lattice:
    """Lattice pixels of a map."""

    shape: tuple[int, int]
    pixels: Index
    """(n,) numbers of the pixels, row by row."""
    neighbours: Index
    """(n, 4) places of the lattice neighbours above, below, left and right; -1: none."""

    @staticmethod
    def of(usable: Mask) -> Lattice:
        """Return the lattice of the usable pixels (y, x)."""
        rows, columns = np.indices(usable.shape)
        middle = SPACING // 2
        on = usable & (rows % SPACING == middle) & (columns % SPACING == middle)
        pixels = np.flatnonzero(on).astype(np.int64)
        place = np.full(usable.shape, -1, dtype=np.int64)
        place[on] = np.arange(len(pixels))
        wide = np.pad(place, SPACING, constant_values=-1)
        y, x = np.divmod(pixels, usable.shape[1])
        at = [wide[y + SPACING * (1 + down), x + SPACING * (1 + right)] for down, right in _SIDES]
        return Lattice((usable.shape[0], usable.shape[1]), pixels, np.stack(at, axis=1))

    def nearest(self) -> Index:
        """Return (pixels of the map,) the place of the nearest lattice pixel."""
        off = np.ones(self.shape, dtype=np.bool_)
        off.ravel()[self.pixels] = False
        places = np.asarray(ndimage.distance_transform_edt(off, return_distances=False, return_indices=True))
        number = np.zeros(off.size, dtype=np.int64)
        number[self.pixels] = np.arange(len(self.pixels))
        return number[np.ravel_multi_index((places[0].ravel(), places[1].ravel()), self.shape)]

    def interpolated(self, values: Array) -> Array:
        """Return values (n, m) of the lattice between its pixels, bilinear (pixels of the map, m); else the nearest."""
        out = values[self.nearest()]
        total, weight = np.zeros_like(out), np.zeros(len(out))
        place = np.full(self.shape, -1, dtype=np.int64)
        place.ravel()[self.pixels] = np.arange(len(self.pixels))
        wide = np.pad(place, 2 * SPACING, constant_values=-1)
        rows, columns = (axis.ravel() for axis in np.indices(self.shape))
        middle = SPACING // 2
        over, right = (rows - middle) % SPACING, (columns - middle) % SPACING
        for down in (0, 1):
            for across in (0, 1):
                y = rows - over + SPACING * (down + 2)
                x = columns - right + SPACING * (across + 2)
                node = wide[y, x]
                share = np.where(down, over, SPACING - over) * np.where(across, right, SPACING - right) / SPACING**2
                share = np.where(node >= 0, share, 0.0)
                total += share[:, None] * values[node]
                weight += share
        known = weight > 0.0
        out[known] = total[known] / weight[known, None]
        return out


def agreed(lattice: Lattice, energy: Array, stress: Array, sigma: Array) -> tuple[Index, Array]:
    """Return the solution of each lattice pixel, and how much worse each solution would make the whole.

    Parameters
    ----------
    energy
        (n, k) chi2 of each solution, priors included; not finite: no solution.
    stress, sigma
        (n, k, 6) stress parameters of each solution and their standard deviations, GPa.

    Returns
    -------
    (n,) chosen solutions and (n, k) costs of the others in chi2, 0 for the chosen one.
    """
    own = np.where(np.isfinite(energy), energy, np.inf)
    own = np.where(np.isfinite(own), own - own.min(axis=1, keepdims=True), 1e6)
    own = np.where(np.isfinite(own), own, 0.0)
    costs = [_pair_cost(lattice.neighbours[:, side], stress, sigma) for side in range(4)]
    message = np.zeros((len(own), 4, own.shape[1]))
    for _ in range(_ROUNDS):
        belief = own + message[:, 0] + message[:, 1] + message[:, 2] + message[:, 3]
        new = np.zeros_like(message)
        for side in range(4):
            there = lattice.neighbours[:, side]
            sent = belief[there] - message[there, _OPPOSITE[side]]
            came = (sent[:, :, None] + costs[side]).min(axis=1)
            new[:, side] = np.where(there[:, None] >= 0, came - came.min(axis=1, keepdims=True), 0.0)
        message = _KEPT * message + (1.0 - _KEPT) * new
    belief = own + message[:, 0] + message[:, 1] + message[:, 2] + message[:, 3]
    return belief.argmin(axis=1).astype(np.int64), belief - belief.min(axis=1, keepdims=True)


def _pair_cost(there: Index, stress: Array, sigma: Array) -> Array:
    """Return (n, k of the neighbour, k) costs of what the stress of neighbours differs by."""
    cost = np.zeros((len(stress), stress.shape[1], stress.shape[1]))
    for component in _TELLING:
        here, beyond = stress[:, None, :, component], stress[there][:, :, None, component]
        noise = sigma[:, None, :, component] ** 2 + sigma[there][:, :, None, component] ** 2
        cost += (here - beyond) ** 2 / (ALLOWED_GPA**2 + noise)
    return np.where(np.isfinite(cost), np.minimum(cost, MOST), MOST)


def surroundings(values: Array, shape: tuple[int, int]) -> Array:
    """Return the median (pixels, m) of values (pixels, m) over the 5 x 5 pixels around each; NaN is left out."""
    wide = np.pad(values.reshape(*shape, -1), ((2, 2), (2, 2), (0, 0)), constant_values=np.nan)
    out = np.full(values.shape, np.nan)
    known: Mask = np.asarray(np.isfinite(values).all(axis=1)).reshape(shape)
    for y in range(shape[0]):
        here = np.flatnonzero(known[y])
        if not len(here):
            continue
        rows = [wide[y + down, across : across + shape[1]][here] for down in range(5) for across in range(5)]
        out[y * shape[1] + here] = np.nanmedian(np.stack(rows), axis=0)
    return out
