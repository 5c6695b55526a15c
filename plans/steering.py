"""What people want of the next set point: pins and vetoes as inputs of the pure policy, recorded with its decision."""

from __future__ import annotations

from dataclasses import replace

from devices.wishes import Wishes
from plans.ladder import Decision, TemperatureLimits

NO_WISHES = Wishes()
"""Nobody pinned or vetoed anything."""


def is_vetoed(temperature_k: float, wishes: Wishes, limits: TemperatureLimits) -> bool:
    """Return whether a set point is vetoed; the top never is, since it ends the ladder."""
    if temperature_k >= limits.top_k:
        return False
    return any(abs(temperature_k - veto) < limits.min_step_k / 2 for veto in wishes.veto_k)


def pinned(decision: Decision, here_k: float, wishes: Wishes, limits: TemperatureLimits) -> Decision:
    """Return the decision with the pinned set point first, where one is pinned and the ladder can go there."""
    pin = wishes.pin_k
    if pin is None or decision.next_temperature_k is None or not here_k < pin <= limits.top_k:
        return decision
    rest = tuple(t for t in decision.path_k if t >= pin + limits.min_step_k or (t >= limits.top_k > pin))
    alone = f"the policy alone would go to {decision.next_temperature_k:g} K, {decision.reason}"
    reason = f"step {pin - here_k:.3g} K: {pin:g} K was pinned by {wishes.pin_by}; {alone}"
    return replace(decision, next_temperature_k=pin, step_k=pin - here_k, path_k=(pin, *rest), reason=reason)


def lifted(decision: Decision, here_k: float, wishes: Wishes, limits: TemperatureLimits) -> Decision:
    """Return a decision that was made without weighing, moved up past what is vetoed."""
    target = decision.next_temperature_k
    if target is None or not is_vetoed(target, wishes, limits):
        return _without(decision, wishes, limits)
    while is_vetoed(target, wishes, limits):
        target = min(target + limits.min_step_k / 4, limits.top_k)
    if limits.top_k - target < limits.min_step_k:
        target = limits.top_k
    rest = tuple(t for t in decision.path_k if t >= target + limits.min_step_k or (t >= limits.top_k > target))
    moved = replace(decision, next_temperature_k=target, step_k=target - here_k, path_k=(target, *rest))
    return _without(moved, wishes, limits)


def _without(decision: Decision, wishes: Wishes, limits: TemperatureLimits) -> Decision:
    path = tuple(t for t in decision.path_k if not is_vetoed(t, wishes, limits))
    return replace(decision, path_k=path)


def told(decision: Decision, wishes: Wishes, here_k: float) -> Decision:
    """Return the decision whose reason names the vetoes that it was made under."""
    ahead = [(veto, who) for veto, who in zip(wishes.veto_k, wishes.veto_by, strict=True) if veto > here_k]
    if not ahead or decision.next_temperature_k is None:
        return decision
    named = ", ".join(f"{veto:g} K ({who})" for veto, who in ahead)
    return replace(decision, reason=f"{decision.reason}; vetoed: {named}")
