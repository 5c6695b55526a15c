"""The RunEngine of a session: what fails is one line for people."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from bluesky import plan_stubs as bps
from bluesky.utils import MsgGenerator, RunEngineInterrupted
from ophyd import Signal

from deploy.engine import FOR_PEOPLE, SessionEngine, for_people
from deploy.session import Bars
from deploy.shell import _say_error  # pyright: ignore[reportPrivateUsage]


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


def test_a_pause_at_the_prompt_is_its_choices_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    engine = SessionEngine()
    with pytest.raises(RunEngineInterrupted) as caught:
        engine(bps.pause())
    engine.abort()
    _say_error(None, RunEngineInterrupted, caught.value, None)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["paused;", "RE.resume()", "RE.abort()", "RE.stop()"]


def test_what_does_not_tell_how_far_it_is_has_no_progress_bar() -> None:
    bars: Any = Bars([], delay_draw=0)
    bars.fp = io.StringIO()
    for place, facts in enumerate(({"name": "camera"}, {"name": "sweep", "current": 3, "initial": 0, "target": 9})):
        bars.meters.append("")
        bars.status_objs.append(None)
        bars.update(place, **facts)
    shown = bars.fp.getvalue()
    assert "sweep" in shown
    assert "camera" not in shown
