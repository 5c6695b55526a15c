"""What an IOC may do under a permit, without any process."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.ioc.permit import NoGuard, Permit, Permits

numbers = st.floats(-1e6, 1e6)


@given(value=numbers, low=numbers, high=numbers)
def test_a_permit_takes_what_lies_within_its_limits_and_nothing_else(value, low, high):
    refusal = Permit(low=low, high=high, reason="a zero-field cool is under way").refusal(value)
    assert (refusal == "") == (low <= value <= high)
    if refusal:
        assert f"{value:g}" in refusal
        assert "zero-field cool" in refusal


@given(value=numbers)
def test_without_a_permit_nothing_is_taken_and_the_reason_is_said(value):
    assert Permit(permit=False, reason="the vacuum failed").refusal(value) == "the vacuum failed"


def test_a_rate_is_refused_above_the_highest():
    assert Permit(rate_high=10.0).rate_refusal(10.0) == ""
    assert "12" in Permit(rate_high=10.0).rate_refusal(12.0)


def test_an_ioc_that_never_met_its_guard_switches_nothing_on_but_everything_off():
    permits = Permits("NOBODY:")
    permits._lost_at = 0.0  # as `start` leaves it, long ago
    assert "guard does not answer" in asyncio.run(permits.refusal("laser", 1))
    assert "guard does not answer" in asyncio.run(permits.refusal("magnet", 0.0))
    assert asyncio.run(permits.refusal("laser", 0)) == ""


@pytest.mark.parametrize("instrument", ["laser", "magnet"])
def test_a_rig_without_a_guard_permits_everything(instrument):
    assert asyncio.run(NoGuard().refusal(instrument, 1e9)) == ""
    assert asyncio.run(NoGuard().rate_refusal(instrument, 1e9)) == ""
