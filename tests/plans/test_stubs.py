"""Building blocks of plans: conditions are judged on what the instrument says now."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from bluesky import RunEngine
from ophyd import Signal

from plans.settings import PreconditionError
from plans.stubs import require_field_below, require_sample_above


class LateMonitor(Signal):
    """A signal whose monitor still says what was, as on a machine without a free core."""

    pvname = "LATE"

    def __init__(self, name: str, *, was: float, now: float) -> None:
        super().__init__(name=name, value=was)
        self._now = now

    def get(self, *, use_monitor: bool = True, **kwargs: Any) -> Any:
        return super().get(**kwargs) if use_monitor else self._now


def rig(*, was: float, now: float) -> Any:
    signal = LateMonitor("late", was=was, now=now)
    return SimpleNamespace(
        magnet=SimpleNamespace(field_z_gauss_rbv=signal), cryostat=SimpleNamespace(sample_k=signal, stage_k=signal)
    )


@pytest.fixture
def engine() -> RunEngine:
    return RunEngine({}, context_managers=[])


def test_a_field_that_is_off_by_now_is_off(engine: RunEngine) -> None:
    engine(require_field_below(rig(was=25.1, now=0.0), 0.3, "a cool"))


def test_a_field_that_has_come_meanwhile_is_refused(engine: RunEngine) -> None:
    with pytest.raises(PreconditionError, match=r"it is 25\.1 G"):
        engine(require_field_below(rig(was=0.0, now=25.1), 0.3, "a cool"))


def test_a_sample_that_is_too_cold_by_now_is_refused(engine: RunEngine) -> None:
    engine(require_sample_above(rig(was=80.0, now=150.0), 115.0, "a cool"))
    with pytest.raises(PreconditionError, match="the sample is at 80 K"):
        engine(require_sample_above(rig(was=150.0, now=80.0), 115.0, "a cool"))
