"""R(T) of the twin: a resistor network on the sample's pixels between four leads, with weak links between grains.

The same Tc map that screens the field shorts the bonds, so that transport and magnetism tell one story: a kink and a
partial drop where paths of grains open, none where nickel-rich stripes cut every path between the leads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

from devices.twin.layout import LEAD_AZIMUTHS_DEG, lead_end_um
from devices.twin.truth import Truth, truth_of

Array = NDArray[np.float64]

NETWORK_PIXELS = 44
"""Pixels of the network along the longer side of the view that holds the sample."""
SHEET_OHM = 0.02
"""Sheet resistance at 0 K, Ohm."""
SHEET_OHM_PER_K = 0.0006
"""Rise of the sheet resistance, Ohm/K."""
SHORT = 2000.0
"""Conductance of a superconducting bond against a normal one at 300 K."""
WEAK_LINKS = 0.62
"""Share of bonds between grains that never become superconducting; above one half, so that the drop is partial."""
STRIPE_RESISTANCE = 25.0
"""Resistance of the nickel-rich phase against the superconductor's normal state."""
GRID_K = np.concatenate([np.arange(4.0, 112.0, 2.0), [115.0]])
"""Temperatures at which the network is solved; above, the sample is normal."""


@dataclass(frozen=True)
class ResistanceCurve:
    """Four-terminal resistance of the sample at one load."""

    temperature_k: Array
    """(n,) temperatures, K."""
    ratio: Array
    """(n,) resistance over that of the normal sample at the same temperature."""
    shape_factor: float
    """Resistance of the normal sample over its sheet resistance."""

    def ohm(self, temperature_k: float) -> float:
        """Return the resistance at a temperature, Ohm."""
        ratio = float(np.interp(temperature_k, self.temperature_k, self.ratio))
        return self.shape_factor * sheet_ohm(temperature_k) * ratio


def sheet_ohm(temperature_k: float) -> float:
    """Return the sheet resistance of the normal state, Ohm."""
    return SHEET_OHM + SHEET_OHM_PER_K * temperature_k


def resistance_curve(truth: Truth) -> ResistanceCurve:
    """Solve the network of a truth at all temperatures."""
    a, b = truth.crystal.kind.semi_axes_um
    pixel = 2.3 * max(a, b) / NETWORK_PIXELS
    settings = replace(truth.settings, width=NETWORK_PIXELS, height=NETWORK_PIXELS, pixel_size_um=pixel)
    network = _Network(truth_of(settings, truth.load_gpa))
    normal = network.resistance(np.zeros(network.size))
    # A pixel shorts its bonds gradually over the spread of its Tc, hence the smooth order parameter.
    values = [network.resistance(network.order(float(t))) / normal for t in GRID_K]
    return ResistanceCurve(GRID_K, np.array(values), normal)


class _Network:
    """Bonds between neighbouring sample pixels, in units of the normal sheet conductance."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        mask = truth.sample
        self.size = int(mask.sum())
        number = np.full(mask.shape, -1, dtype=np.int64)
        number[mask] = np.arange(self.size)
        pairs = [_pairs(number[:, :-1], number[:, 1:]), _pairs(number[:-1], number[1:])]
        self._left = np.concatenate([p[0] for p in pairs])
        self._right = np.concatenate([p[1] for p in pairs])
        rng = np.random.default_rng([truth.settings.seed, 11])
        self._weak = rng.random(self._left.size) < WEAK_LINKS
        poor = truth.crystal.la_ni(truth.x_um, truth.y_um)[mask] < 1.35
        self._resistance = np.where(poor, STRIPE_RESISTANCE, 1.0)
        self._leads = [self._node(azimuth) for azimuth in LEAD_AZIMUTHS_DEG]

    def _node(self, azimuth_deg: float) -> int:
        """Pixel on the rim under a lead."""
        truth, mask = self._truth, self._truth.sample
        cos, sin = math.cos(math.radians(azimuth_deg)), math.sin(math.radians(azimuth_deg))
        radius = lead_end_um(truth.crystal, azimuth_deg)
        distance = np.hypot(truth.x_um[mask] - radius * cos, truth.y_um[mask] - radius * sin)
        return int(np.argmin(distance))

    def order(self, temperature_k: float) -> Array:
        """(n,) how far each pixel is superconducting, 0 to 1."""
        return np.minimum(1.0, 8.0 * self._truth.superfluid(temperature_k)[self._truth.sample])

    def resistance(self, order: Array) -> float:
        """Voltage between leads 1 and 3 per current from lead 0 to lead 2, in sheet resistances."""
        bond = 2.0 / (self._resistance[self._left] + self._resistance[self._right])
        short = np.minimum(order[self._left], order[self._right])
        bond = bond * np.where(self._weak, 1.0, 1.0 + SHORT * short)
        rows = np.concatenate([self._left, self._right, self._left, self._right])
        columns = np.concatenate([self._right, self._left, self._left, self._right])
        matrix = sparse.csc_matrix(
            (np.concatenate([-bond, -bond, bond, bond]), (rows, columns)), shape=(self.size, self.size)
        )
        source, upper, drain, lower = self._leads
        current = np.zeros(self.size)
        current[source], current[drain] = 1.0, -1.0
        # One node is ground; the Laplacian of a connected network is singular without it.
        potential = np.zeros(self.size)
        potential[1:] = linalg.splu(matrix[1:, 1:].tocsc()).solve(current[1:])
        return abs(float(potential[upper] - potential[lower]))


def _pairs(first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    both = (first >= 0) & (second >= 0)
    return first[both], second[both]
