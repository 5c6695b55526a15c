"""The history ledger in a plan: asked, recorded, required. A plan's own belief counts where the rig has no guard."""

from __future__ import annotations

import logging
from typing import Any, cast

from bluesky import plan_stubs as bps
from bluesky.utils import MsgGenerator, RunEngineControlException

from devices.guard import ZeroFieldCool
from devices.rig import Rig
from plans.settings import PreconditionError
from stream.messages import FieldHistory

log = logging.getLogger(__name__)


def ask_ledger(rig: Rig) -> MsgGenerator[dict[str, Any]]:
    """Return what the guard's ledger says now; empty where the rig has no guard."""
    guard: Any = rig.guard
    if guard is None:
        return {}
    yield from bps.trigger(guard, wait=True)
    return dict(guard.latest)


def history_now(rig: Rig, believed: FieldHistory) -> MsgGenerator[FieldHistory]:
    """Return the history as the ledger has it; what the plan believes where there is no guard."""
    verdict = yield from ask_ledger(rig)
    return FieldHistory(verdict["history"]) if verdict else believed


def require_history(rig: Rig, history: FieldHistory, why: str) -> MsgGenerator[None]:
    """Refuse to go on where the ledger calls the history another one.

    Raises
    ------
    PreconditionError
        Naming the history and the ledger's reason.
    """
    verdict = yield from ask_ledger(rig)
    if verdict and verdict["history"] != history:
        raise PreconditionError(
            f"{why} needs the history {history}; the ledger says {verdict['history']}: {verdict['reason']}"
        )


def zero_field_cool(rig: Rig, under_way: bool) -> MsgGenerator[None]:
    """Tell the guard that a zero-field cool begins or is over: it refuses any field in between."""
    guard: Any = rig.guard
    if guard is not None:
        yield from bps.abs_set(cast("Any", ZeroFieldCool(guard)), int(under_way), wait=True)


def opening_verdict(rig: Rig) -> MsgGenerator[dict[str, Any]]:
    """Return the metadata of a run's start; in the normal state a cool that an earlier run left behind is over."""
    verdict = yield from ask_ledger(rig)
    if verdict.get("history") == FieldHistory.NORMAL_STATE:
        yield from zero_field_cool(rig, False)
    return {"ledger": verdict} if verdict else {}


def closing_verdict(rig: Rig) -> MsgGenerator[str]:
    """Record the ledger's last word in the stream `ledger` and return it as one line; empty without a guard."""
    try:
        verdict = yield from ask_ledger(rig)
        if not verdict:
            return ""
        yield from bps.create("ledger")
        yield from bps.read(cast("Any", rig.guard))
        yield from bps.save()
    except RunEngineControlException:
        raise
    except Exception:
        log.exception("the history ledger could not be asked")
        return "ledger: not asked, it does not answer"
    return f"ledger: {verdict['history']}: {verdict['reason']}"
