"""The spline of the three-dimensional diagram says where it is no measurement."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.campaign.rows import TemperatureRows, Units
from analyzers.campaign.spline import spline_part

EDGES = np.arange(0.0, 101.0, 10.0), np.arange(10.0, 31.0, 2.0), np.arange(0.0, 3.1, 0.5)


def rows(count: int = 40_000, seed: int = 0) -> TemperatureRows:
    """Rows of a law that is smooth; shear above 2 GPa was never measured."""
    random = np.random.default_rng(seed)
    t, z, tau = random.uniform(0, 100, count), random.uniform(10, 30, count), random.uniform(0, 2, count)
    s = law(t, z, tau) + 1e-3 * random.standard_normal(count)
    number = np.arange(count)
    zeros = np.zeros(count)
    units = Units(zeros.astype(np.int64), zeros.astype(np.int64), number)
    return TemperatureRows(units, number % 10, t, s, zeros + 1e-3, zeros, z, tau, zeros)


def law(t, z, tau):
    return 1.0 - 0.05 * np.exp(-(((z - 21.0) / 4.0) ** 2) - (t / 50.0) ** 2 - (tau / 1.5) ** 2)


def test_it_follows_the_bins_and_marks_what_it_adds():
    part = spline_part(rows(), *EDGES, {"run_uids": ["r"]})
    assert part is not None
    middles = np.meshgrid(*(0.5 * (edge[1:] + edge[:-1]) for edge in EDGES), indexing="ij")
    planes = part.planes
    measured = planes["count"] > 0
    assert np.abs(planes["spline"] - planes["mean"])[measured].max() < 3e-3
    assert np.abs(planes["spline"] - law(*middles))[measured].max() < 4e-3
    assert not measured[:, :, 4:].any()
    assert np.isnan(planes["mean"][:, :, 4:]).all()
    assert np.isfinite(planes["spline"]).all()
    assert planes["between"][:, :, 4].all()
    assert not planes["between"][:, :, 5].any()
    assert "not measured" in part.descriptions["spline"]


def test_too_few_bins_give_none():
    few = rows(10)
    assert spline_part(few, *EDGES, {"run_uids": ["r"]}) is None
    flat = spline_part(rows(), np.array([0.0, 100.0]), *EDGES[1:], {"run_uids": ["r"]})
    assert flat is None


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_rows_give_the_same_bits(seed):
    first, second = (spline_part(rows(3000, seed), *EDGES, {"run_uids": ["r"]}) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.planes["spline"].tobytes() == second.planes["spline"].tobytes()
