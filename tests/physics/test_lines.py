"""Line shapes: unit height, half height at half the width, derivatives by differences."""

import numpy as np
import pytest

from physics.lines import (
    gaussian,
    gaussian_derivatives,
    lorentzian,
    lorentzian_derivatives,
    pseudo_voigt,
    pseudo_voigt_derivatives,
)

SHAPES = [
    (lorentzian, lorentzian_derivatives, ()),
    (gaussian, gaussian_derivatives, ()),
    (pseudo_voigt, pseudo_voigt_derivatives, (0.4,)),
]


@pytest.mark.parametrize(("shape", "derivatives", "extra"), SHAPES)
def test_unit_height_and_half_height_at_half_width(shape, derivatives, extra):
    assert shape(0.0, 18.0, *extra) == 1.0
    assert shape(9.0, 18.0, *extra) == pytest.approx(0.5)
    assert shape(-9.0, 18.0, *extra) == pytest.approx(0.5)


@pytest.mark.parametrize(("shape", "derivatives", "extra"), SHAPES)
@pytest.mark.parametrize("offset", [-25.0, -4.0, 0.0, 3.0, 40.0])
def test_derivatives_agree_with_differences(shape, derivatives, extra, offset):
    point = np.array([offset, 18.0, *extra])
    value, *slopes = derivatives(*point)
    assert value == shape(*point)
    for index, slope in enumerate(slopes):
        step = np.zeros_like(point)
        step[index] = 1e-5
        assert slope == pytest.approx((shape(*(point + step)) - shape(*(point - step))) / 2e-5, abs=1e-9)
