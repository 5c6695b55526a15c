"""From sums to planes: the fast path for every pixel, then the robust path for those it leaves."""

from __future__ import annotations

from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.kernels.block import fit_blocks, load_blocks, make_workspace
from analyzers.kernels.codes import OK
from analyzers.kernels.lanes import WIDTH
from analyzers.kernels.programs import tag
from analyzers.kernels.robust import fit_pixels
from analyzers.kernels.spectra import gather
from analyzers.kernels.tied import fit_tied
from analyzers.plan import Plan
from analyzers.tables import fast_tables, robust_bank

Singles = NDArray[np.float32]
Codes = NDArray[np.uint8]
Planes = dict[str, NDArray[np.generic]]

_first_use = Lock()

_FAST_CHUNK = 2048
"""Pixels loaded at a time for the fast path: they stay in the cache."""
_CHUNK = 1024
"""Pixels per call of the robust path: bounds its memory."""
_PER_LINE = ("centre_mhz", "centre_mhz_sigma", "fwhm_mhz", "fwhm_mhz_sigma", "contrast", "contrast_sigma")


def _named(lines: int, doublets: int, values: Singles, codes: Codes) -> Planes:
    """Return the rows of the result arrays by name (views)."""
    planes: Planes = {name: values[c * lines : (c + 1) * lines] for c, name in enumerate(_PER_LINE)}
    last = 6 * lines + doublets
    planes["pair_correlation"] = values[6 * lines : last]
    for row, name in enumerate(("baseline", "slope", "chi2")):
        planes[name] = values[last + row]
    planes["line_status"], planes["doublet_status"] = codes[:lines], codes[lines : lines + doublets]
    planes["status"] = codes[lines + doublets]
    return planes


def flat_view(cube_sums: NDArray[np.generic]) -> tuple[NDArray[np.generic], int]:
    """Return the cube (f, y, x) as one contiguous array and the distance of its planes; a copy where rows have gaps."""
    _, rows, width = cube_sums.shape
    size = cube_sums.itemsize
    plane, row, column = cube_sums.strides
    gapless = column == size and (row == width * size or rows == 1) and plane >= 0 and plane % size == 0
    cube = cube_sums if gapless else np.ascontiguousarray(cube_sums)
    stride = cube.strides[0] // size
    length = (cube.shape[0] - 1) * stride + rows * width
    return np.lib.stride_tricks.as_strided(cube, (length,), (size,)), stride


def _fit_fast(
    plan: Plan,
    flat: NDArray[np.generic],
    stride: int,
    pixels: int,
    warm: Singles | None,
    values: Singles,
    codes: Codes,
) -> NDArray[np.int64]:
    """Fit with the fast path; return the numbers of the pixels it leaves."""
    (scales, limits), tables, bank = fast_tables(plan)
    n, points, bins = len(plan.order), len(tables[0][0]), len(tables[1][0])
    given = np.empty((3, 0, 0), np.float32) if warm is None else np.ascontiguousarray(warm, np.float32)
    work = make_workspace(plan.lines, plan.model[3], len(plan.pairs), points, bins, len(bank[1]))
    blocks = -(-min(pixels, _FAST_CHUNK) // WIDTH)
    tail = np.zeros(n * WIDTH, flat.dtype)
    signals = np.empty((blocks, points, WIDTH), np.float32)
    signals[:, n:] = 0.0  # what fills the list up to whole chunks
    loaded = (signals, np.zeros((blocks, 2, WIDTH), np.float32), tail)
    stragglers, count = np.empty(pixels, np.int64), 0
    for first in range(0, pixels, _FAST_CHUNK):
        last = min(pixels, first + _FAST_CHUNK)
        load_blocks(flat, stride, plan.order, first, last, scales, limits, loaded)
        head = (loaded[:2], first, last, tables, bank, given, work, values, codes)
        count += fit_blocks(*head, stragglers[count:], plan.tags, tag(len(plan.pairs) + 1))
    return stragglers[:count]


def make_ready(plan: Plan, dtype: np.dtype[np.generic]) -> None:
    """Compile or load the kernels of a plan, and make its tables, before several threads fit with it.

    Compiled code is made once for each kind of input; threads that ask for it at the same time would each begin.
    """
    name = f"ready for {np.dtype(dtype).str}"
    with _first_use:
        if name not in plan.kept:
            flat = np.ones(len(plan.order) * WIDTH, dtype)
            places = replace(plan, order=np.arange(len(plan.order), dtype=np.int64))
            for fast in (True, False):
                fit_flat(places, flat, WIDTH, 1, fast=fast)
            plan.kept[name] = ()


def fit_flat(
    plan: Plan,
    flat: NDArray[np.generic],
    stride: int,
    pixels: int,
    warm: Singles | None = None,
    fast: bool = True,
) -> Planes:
    """Fit `pixels` pixels of flat sums (see `flat_view`).

    `warm` is (3, lines, pixels) centre, fwhm and contrast of an earlier result; `fast` False leaves the fast path out.
    """
    lines, doublets = plan.lines, len(plan.pairs)
    values = np.empty((6 * lines + doublets + 3, pixels), np.float32)
    codes = np.empty((lines + doublets + 1, pixels), np.uint8)
    planes = _named(lines, doublets, values, codes)
    which = _fit_fast(plan, flat, stride, pixels, warm, values, codes) if fast else np.arange(pixels)
    per_line = tuple(planes[name] for name in (*_PER_LINE, "line_status"))
    per_pixel = ("pair_correlation", "baseline", "slope", "chi2", "doublet_status", "status")
    out = (per_line, *(planes[name] for name in per_pixel))
    for first in range(0, len(which), _CHUNK):
        some = which[first : first + _CHUNK]
        spectra = np.empty((len(some), len(plan.order)))
        gather(flat, stride, plan.order, plan.passes, plan.noise[0], some, spectra)
        head = (spectra, some, plan.passes, plan.frequency, plan.noise, plan.saturation, lines, plan.model)
        tail = (plan.limits, plan.bounds, robust_bank(plan), plan.start, plan.pairs, plan.preferred)
        fit_pixels(*head, *tail, out)
    if (plan.groups >= 0).any():
        _fit_shared(plan, flat, stride, out)
    return planes


def _fit_shared(plan: Plan, flat: NDArray[np.generic], stride: int, out: tuple[Any, ...]) -> None:
    """Fit pixels with resolved lines once more, with shared widths or depths; their planes are replaced."""
    which = np.flatnonzero((out[0][6] == OK).sum(axis=0) > 1)
    for first in range(0, len(which), _CHUNK):
        some = which[first : first + _CHUNK]
        spectra = np.empty((len(some), len(plan.order)))
        gather(flat, stride, plan.order, plan.passes, plan.noise[0], some, spectra)
        head = (spectra, some, plan.passes, plan.frequency, plan.noise, plan.saturation, plan.model)
        fit_tied(*head, plan.limits, plan.bounds, plan.groups, plan.pairs, out)
