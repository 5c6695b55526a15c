"""Who asked for what, recorded in the run: the stream `control`, one event per request, at the next checkpoint."""

from __future__ import annotations

from typing import Any

from bluesky import preprocessors as bpp
from bluesky.utils import Msg, MsgGenerator

from devices.rig import Rig
from plans.stubs import record

ENDS = ("stop", "abort")


def record_requests(rig: Rig) -> MsgGenerator[str]:
    """Record every request that waits; return who ended the run, in words, empty where nobody did."""
    ended = ""
    while (request := rig.control.take()) is not None:
        yield from record("control", rig.control)
        if request.action in ENDS:
            ended = f"{request.action} asked for by {request.who} at the live page"
    return ended


def with_record(rig: Rig, plan: MsgGenerator[Any]) -> MsgGenerator[Any]:
    """Run a plan; before each of its checkpoints what was asked for meanwhile is recorded."""

    def insert(message: Msg) -> tuple[MsgGenerator[Any] | None, None]:
        if message.command != "checkpoint" or not rig.control.waiting:
            return None, None

        def first() -> MsgGenerator[Any]:
            yield from record_requests(rig)
            return (yield message)

        return first(), None

    return (yield from bpp.plan_mutator(plan, insert))
