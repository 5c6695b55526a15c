"""Compiled inversion of two doublet centres at a field into sigma_ZZ and the in-plane mean, diagonalised exactly."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from physics.spin import GAMMA, transitions

Array = NDArray[np.float64]


@njit(cache=True, nogil=True)
def _centre_and_half(group: int, d: float, zz: float, flat: float, gauss: float, model: Array) -> tuple[float, float]:
    """Centre and half splitting, MHz, of one group under (flat, flat, zz) GPa and `gauss` along the culet normal.

    `model` (4, 3, 3) holds per group and NV axis: shift per GPa in plane, shift per GPa of ZZ, direction of the field.
    """
    pi_x = model[group, 0, 0] * flat + model[group, 0, 1] * zz
    pi_y = model[group, 1, 0] * flat + model[group, 1, 1] * zz
    pi_z = model[group, 2, 0] * flat + model[group, 2, 1] * zz
    low, high = transitions(
        d + pi_z, pi_x, pi_y, gauss * model[group, 0, 2], gauss * model[group, 1, 2], gauss * model[group, 2, 2]
    )
    return 0.5 * (low + high), 0.5 * (high - low)


@njit(cache=True, nogil=True)
def invert_two_doublets(
    centre_111: Array, centre_tilt: Array, half_111: Array, d: float, rule: Array, model: Array, out: Array
) -> None:
    """Fill `out` (6, n) pixel by pixel.

    Parameters
    ----------
    centre_111, centre_tilt, half_111
        (n,) measured centre of the [111] doublet, mean centre of the tilted groups, half splitting of [111], MHz.
    d
        D(T) without stress, MHz.
    rule
        (4,) d sigma_ZZ / d Pi_111, d sigma_ZZ / d <Pi_tilt>, and the same for the in-plane mean, GPa/MHz.
    model
        (4, 3, 3) see `_centre_and_half`.
    out
        (6, n) sigma_ZZ (GPa), in-plane mean (GPa), |B| (G), half splitting of the tilted groups (MHz), and the rise of
        the [111] and of the tilted centre by the field (MHz); NaN where the input is not finite or nothing fits it.
    """
    for pixel in range(centre_111.size):
        out[:, pixel] = math.nan
        measured_111, measured_tilt, measured_half = centre_111[pixel], centre_tilt[pixel], half_111[pixel]
        if not (math.isfinite(measured_111) and math.isfinite(measured_tilt) and math.isfinite(measured_half)):
            continue
        pi_111, pi_tilt, gauss = measured_111 - d, measured_tilt - d, measured_half / GAMMA
        for _ in range(50):
            zz = rule[0] * pi_111 + rule[1] * pi_tilt
            flat = rule[2] * pi_111 + rule[3] * pi_tilt
            c_111, h_111 = _centre_and_half(0, d, zz, flat, gauss, model)
            c_tilt, h_tilt = 0.0, 0.0
            for group in range(1, 4):
                c, h = _centre_and_half(group, d, zz, flat, gauss, model)
                c_tilt += c / 3.0
                h_tilt += h / 3.0
            miss_111, miss_tilt, miss_half = measured_111 - c_111, measured_tilt - c_tilt, measured_half - h_111
            miss = abs(miss_111) + abs(miss_tilt) + abs(miss_half)
            if miss <= 1e-8:
                out[0, pixel] = zz
                out[1, pixel] = flat
                out[2, pixel] = gauss
                out[3, pixel] = h_tilt
                out[4, pixel] = c_111 - d - pi_111
                out[5, pixel] = c_tilt - d - pi_tilt
                break
            if not math.isfinite(miss):
                break
            # The centres follow the axial shifts, and the splitting the field, with slope 1 to a per cent.
            pi_111 += miss_111
            pi_tilt += miss_tilt
            gauss = max(0.0, gauss + miss_half / GAMMA)
