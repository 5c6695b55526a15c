"""The RunEngine of a session: what fails is one line for people."""

from __future__ import annotations

import logging

import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import MsgGenerator
from ophyd import Signal

from deploy.engine import FOR_PEOPLE, SessionEngine, for_people


class GoneSignal(Signal):
    """A signal whose IOC has been killed."""

    def set(self, *arguments: object, **keywords: object) -> object:
        raise TimeoutError("NVDAC:MW:ENABLE_RBV could not connect within 1.0-second timeout.")


def test_an_instrument_that_has_gone_is_one_line_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def plan() -> MsgGenerator[None]:
        yield from bps.open_run()
        yield from bps.mv(GoneSignal(name="gone"), 1)

    engine = SessionEngine()
    engine.log.logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.ERROR, "bluesky"), pytest.raises(FOR_PEOPLE) as caught:
            engine(plan())
    finally:
        engine.log.logger.removeHandler(caplog.handler)
    assert "Run aborted" in caplog.text
    assert "Traceback" not in caplog.text
    line = for_people(caught.value)
    assert "NVDAC:MW:ENABLE_RBV" in line
    assert "microwave and laser may still be on" in line
    assert "nvdac status" in line
    assert "\n" not in line
