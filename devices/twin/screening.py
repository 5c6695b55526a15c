"""Field of a partly superconducting plate over itself: granular response, coherent London film, and their mixture.

Granular: disconnected grains with a local magnetisation, b_z(k) = (1/2)(1 - exp(-|k| t)) exp(-|k| z) M(k).
Coherent: a film with Pearl length Lambda(x, y), (|k|/2) g - div(Lambda grad g) = -H inside and g = 0 outside, with
b_z(k) = (|k|/2) exp(-|k| z) g(k). Everything is linear in H and given per unit of it. Transforms are padded twofold,
so that the field does not wrap around.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse
from scipy.sparse import linalg

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

Step = Callable[[Array], Array]
"""A linear map of the sample's pixels."""

SMALLEST_SUPERFLUID = 1e-4
"""Superfluid factor of normal places in the London equation: a finite, very long Pearl length."""
TOLERANCE = 1e-8
"""Residual of the London equation against its right side."""
MOST_ROUNDS = 500
"""Rounds after which the London equation counts as not solvable."""


class Screening:
    """The field over one sample on one pixel grid.

    Parameters
    ----------
    mask
        (y, x) True on the sample.
    pixel_um
        Edge of a pixel, um.
    thickness_um
        Thickness of the plate, um.
    stand_off_um
        Distance of the sensor from the plate, um.
    """

    def __init__(self, mask: Mask, pixel_um: float, thickness_um: float, stand_off_um: float) -> None:
        self.mask = mask
        self._pixel = pixel_um
        self._padded = (_padded_length(mask.shape[0]), _padded_length(mask.shape[1]))
        ky = 2.0 * np.pi * np.fft.fftfreq(self._padded[0], pixel_um)[:, None]
        kx = 2.0 * np.pi * np.fft.rfftfreq(self._padded[1], pixel_um)[None, :]
        k = np.hypot(kx, ky)
        lift = np.exp(-k * stand_off_um)
        safe = np.where(k > 0.0, k, 1.0)
        self._k = k
        self._slab = 0.5 * (1.0 - np.exp(-k * thickness_um)) * lift
        self._sheet = 0.5 * k * lift
        self._lateral = (-1j * kx / safe, -1j * ky / safe)
        self._number = np.full(mask.shape, -1, dtype=np.int64)
        self._count = int(mask.sum())
        self._number[mask] = np.arange(self._count)

    def _transform(self, image: Array) -> NDArray[np.complex128]:
        return np.asarray(fft.rfft2(image, s=self._padded), dtype=np.complex128)

    def _back(self, spectrum: NDArray[np.complex128]) -> Array:
        height, width = self.mask.shape
        full = np.asarray(fft.irfft2(spectrum, s=self._padded), dtype=np.float64)
        return np.ascontiguousarray(full[:height, :width])

    def granular(self, magnetisation: Array) -> NDArray[np.complex128]:
        """Transform of b_z of grains with magnetisation (y, x), in units of H."""
        return self._slab * self._transform(np.where(self.mask, magnetisation, 0.0))

    def coherent(self, superfluid: Array, pearl_um: float) -> NDArray[np.complex128]:
        """Transform of b_z of a London film of Pearl length `pearl_um` / superfluid (y, x), per unit of H."""
        return self._sheet * self._transform(self.stream_function(superfluid, pearl_um))

    def stream_function(self, superfluid: Array, pearl_um: float) -> Array:
        """(y, x) stream function g of the film's current per unit of H, um.

        Conjugate gradients with the factorised local operator as preconditioner: a few rounds where the Pearl length is
        above the sample's radius, some dozens down to the Meissner limit.

        Raises
        ------
        ArithmeticError
            Where the solution does not converge.
        """
        stream = np.zeros(self.mask.shape)
        if not np.any(superfluid[self.mask] > SMALLEST_SUPERFLUID):
            return stream
        local = self._operator(pearl_um / np.maximum(superfluid, SMALLEST_SUPERFLUID))
        precondition = linalg.splu(local).solve

        def whole(values: Array) -> Array:
            image = np.zeros(self.mask.shape)
            image[self.mask] = values
            return local @ values + self._back(0.5 * self._k * self._transform(image))[self.mask]

        stream[self.mask] = _conjugate_gradients(whole, precondition, np.full(self._count, -1.0))
        return stream

    def _operator(self, pearl_um: Array) -> sparse.csc_matrix:
        """-div(Lambda grad) on the sample's pixels, g = 0 outside."""
        rows: list[NDArray[np.int64]] = []
        columns: list[NDArray[np.int64]] = []
        values: list[Array] = []
        diagonal = np.zeros(int(self.mask.sum()))
        number, lam = self._number, pearl_um / self._pixel**2
        for axis in (0, 1):
            for step in (-1, 1):
                other = np.roll(number, step, axis=axis)
                face = 0.5 * (lam + np.roll(lam, step, axis=axis))
                face = np.where(other >= 0, face, 2.0 * lam)[self.mask]
                diagonal += face
                inner = other[self.mask] >= 0
                rows.append(number[self.mask][inner])
                columns.append(other[self.mask][inner])
                values.append(-face[inner])
        index = np.arange(diagonal.size)
        data = np.concatenate([*values, diagonal])
        places = (np.concatenate([*rows, index]), np.concatenate([*columns, index]))
        return sparse.csc_matrix((data, places), shape=(diagonal.size, diagonal.size))

    def field(self, transform: NDArray[np.complex128]) -> Array:
        """(y, x, 3) field in units of H from the transform of b_z: b_x and b_y follow from the source-free field."""
        along_x, along_y = self._lateral
        parts = (self._back(along_x * transform), self._back(along_y * transform), self._back(transform))
        return np.stack(parts, axis=-1)

    def normal_field(self, transform: NDArray[np.complex128]) -> Array:
        """(y, x) b_z in units of H alone."""
        return self._back(transform)


def _conjugate_gradients(operator: Step, precondition: Step, right: Array) -> Array:
    """Solve operator(x) = right for a symmetric positive definite operator."""
    found = np.zeros_like(right)
    residual = right.copy()
    search = precondition(residual)
    fall = float(residual @ search)
    goal = TOLERANCE * float(np.linalg.norm(right))
    for _ in range(MOST_ROUNDS):
        ahead = operator(search)
        length = fall / float(search @ ahead)
        found += length * search
        residual -= length * ahead
        if float(np.linalg.norm(residual)) <= goal:
            return found
        lifted = precondition(residual)
        before, fall = fall, float(residual @ lifted)
        search = lifted + fall / before * search
    raise ArithmeticError(f"the London equation does not converge within {MOST_ROUNDS} rounds")


def _padded_length(length: int) -> int:
    """Length at least twice `length` that transforms fast."""
    return int(fft.next_fast_len(2 * length, real=True) or 2 * length)
