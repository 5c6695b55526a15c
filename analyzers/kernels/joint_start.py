"""Where a joint fit begins: the axial shifts whose line patterns fit a pixel's spectra best, from banks of templates.

A template holds the lines of one class ([111] or tilted) in all fields for one value of the shift, freed of level and
slope of the baseline and of unit length in each field. The score of a template is the chi2 that it explains with a
contrast of its own in each field; the sign of a contrast is free.
"""

from __future__ import annotations

import math

from analyzers.kernels.codes import Array, Pack
from analyzers.kernels.compiled import kernel

LEAST_DEPTH = 3e-4
"""Depth that the spread of depths does not go below."""


@kernel
def project(bank: Array, y: Array, edges: Array, parts: Array, scores: Array) -> int:
    """Return the best template of a bank (n, templates), and fill parts (fields, templates) and scores (templates,)."""
    scores[:] = 0.0
    parts[:] = 0.0
    for k in range(edges.shape[0] - 1):
        part = parts[k]
        for i in range(edges[k], edges[k + 1]):
            value, row = y[i], bank[i]
            for t in range(part.shape[0]):
                part[t] += value * row[t]
        for t in range(part.shape[0]):
            scores[t] += part[t] * part[t]
    best = 0
    for t in range(scores.shape[0]):
        if scores[t] > scores[best]:
            best = t
    return best


@kernel
def find_start(y: Array, edges: Array, banks: Pack, scratch: Pack, depth: Array) -> tuple[int, int]:
    """Return the best [111] and the best tilted template of weighted spectra y (n,), which is changed.

    Parameters
    ----------
    banks
        [111] (n, templates), tilted (n, templates), and for each the length (fields, templates) it had.
    scratch
        parts and scores of both banks.
    depth
        (fields, 2) receives the depths of both classes.
    """
    along, tilted, along_length, tilted_length = banks
    along_parts, along_scores, tilted_parts, tilted_scores = scratch
    first = project(along, y, edges, along_parts, along_scores)
    for k in range(edges.shape[0] - 1):
        depth[k, 0] = -along_parts[k, first] / along_length[k, first]
        for i in range(edges[k], edges[k + 1]):
            y[i] -= along_parts[k, first] * along[i, first]
    second = project(tilted, y, edges, tilted_parts, tilted_scores)
    for k in range(edges.shape[0] - 1):
        depth[k, 1] = -tilted_parts[k, second] / tilted_length[k, second]
    return first, second


@kernel
def own_weights(theta: Array, spread: Array, out: Array) -> None:
    """Fill out (22,): weights of a field's own numbers, deviations being expected in units of the pixel's own lines.

    `spread` (4,): relative standard deviation between fields and between lines of depth, then of width.
    """
    for of in range(2):
        depth, fwhm = max(LEAST_DEPTH, abs(theta[7 + of])), theta[9 + of]
        out[of] = 1.0 / (spread[0] * depth) ** 2
        out[10 + of] = 1.0 / (spread[2] * fwhm) ** 2
        for line in range(2 * of, 2 + 6 * of):
            out[2 + line] = 1.0 / (spread[1] * depth) ** 2
            out[12 + line] = 1.0 / (spread[3] * fwhm) ** 2
    out[20] = 0.0
    out[21] = 0.0


@kernel
def begin(
    start: Pack, y: Array, weight: Array, data: Pack, mean: Array, own_mean: Array, theta: Array, q: Array
) -> None:
    """Fill theta and q with where the descent begins."""
    banks, along, tilted, rule, parts, weighted, depth = start
    root = data[2]
    for i in range(y.shape[0]):
        weighted[i] = root[i] * y[i]
    first, second = find_start(weighted, data[3], banks, parts, depth)
    theta[:] = mean
    theta[0] = rule[2] * along[first, 0] + rule[3] * tilted[second]
    theta[2] = rule[0] * along[first, 0] + rule[1] * tilted[second]
    theta[6] = along[first, 1]
    telling, along_depth, tilted_depth = 0, 0.0, 0.0
    for k in range(q.shape[0]):
        if math.isfinite(banks[2][k, first]):
            telling += 1
            along_depth += depth[k, 0] / math.sqrt(weight[k])
            tilted_depth += depth[k, 1] / math.sqrt(weight[k])
        q[k] = own_mean
    theta[7] = along_depth / max(1, telling)
    theta[8] = tilted_depth / max(1, telling)
