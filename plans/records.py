"""Decisions as they are stored: the policy's inputs as JSON, and the same policy replayed on a stored run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devices.wishes import Wishes
from plans.adaptive import decide
from plans.again import again_decision, second_warming
from plans.ladder import Decision, PointSummary, TemperatureLimits
from plans.steering import NO_WISHES


@dataclass(frozen=True)
class ReplayedDecision:
    """One stored decision beside what the policy says today."""

    sequence: int
    """Number of the decision in the run, from 1."""
    stored_k: float | None
    """Set point the run went to, K; None at the end of the ladder."""
    replayed: Decision
    """What the policy decides on the stored inputs."""

    @property
    def same(self) -> bool:
        """True where both name the same set point."""
        return self.stored_k == self.replayed.next_temperature_k


def trim_history(history: Sequence[PointSummary]) -> tuple[PointSummary, ...]:
    """Return the history with the densities of the newest point only: no decision looks at older ones."""
    older = [dataclasses.replace(row, candidate_temperature_k=(), tc_density_per_k=()) for row in history[:-1]]
    return (*older, history[-1])


def inputs_to_json(
    history: Sequence[PointSummary], limits: TemperatureLimits, again: int | None = None, wishes: Wishes = NO_WISHES
) -> str:
    """Return the inputs of a decision as canonical JSON.

    Parameters
    ----------
    history, limits
        What the policy was told.
    again
        Number of a point of a second warming; None for any other decision.
    wishes
        Pins and vetoes; without any nothing is written of them.
    """
    value: dict[str, Any] = {"history": [dataclasses.asdict(row) for row in history]}
    value["limits"] = dataclasses.asdict(limits)
    if again is not None:
        value["again"] = again
    if wishes != NO_WISHES:
        value["wishes"] = dataclasses.asdict(wishes)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def inputs_from_json(text: str) -> tuple[tuple[PointSummary, ...], TemperatureLimits]:
    """Return the inputs of a decision from their JSON; the inverse of `inputs_to_json`.

    Raises
    ------
    ValueError
        Where the text is not such inputs.
    """
    try:
        value = json.loads(text)
        history = tuple(_point(row) for row in value["history"])
        limits: dict[str, Any] = dict(value["limits"])
        for key in ("prior_tc_k", "prior_weight"):
            limits[key] = tuple(float(number) for number in limits.get(key, ()))
        return history, TemperatureLimits(**limits)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the inputs of a decision: {error}") from error


def wishes_from_json(text: str) -> Wishes:
    """Return the pins and vetoes that a decision was made under, from its inputs as JSON.

    Raises
    ------
    ValueError
        Where the text is not such inputs.
    """
    try:
        values: dict[str, Any] = dict(json.loads(text).get("wishes") or {})
        for key in ("veto_k", "veto_by"):
            values[key] = tuple(values.get(key, ()))
        return Wishes(**values)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"not the inputs of a decision: {error}") from error


def _point(row: Mapping[str, Any]) -> PointSummary:
    values: dict[str, Any] = dict(row)
    for key in ("candidate_temperature_k", "tc_density_per_k"):
        values[key] = tuple(float(number) for number in values[key])
    return PointSummary(**values)


def replay_decisions(
    documents: Iterable[tuple[str, Mapping[str, Any]]], limits: TemperatureLimits | None = None
) -> list[ReplayedDecision]:
    """Run the policy again on the inputs that a run stored with each decision.

    Parameters
    ----------
    documents
        The run's documents as (name, document), in order; `event` and `event_page` are both understood.
    limits
        Other limits, to see what they would have done; the stored ones where None.

    Returns
    -------
    list of ReplayedDecision
        One per event of the stream `decision`.
    """
    streams: dict[str, str] = {}
    rows: list[ReplayedDecision] = []
    for name, document in documents:
        if name == "descriptor":
            streams[str(document["uid"])] = str(document.get("name", ""))
        elif name in ("event", "event_page") and streams.get(str(document["descriptor"])) == "decision":
            for data in _rows(name, document):
                rows.append(_replay(len(rows) + 1, data, limits))
    return rows


def _rows(name: str, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = document["data"]
    if name == "event":
        return [dict(data)]
    length = len(next(iter(data.values())))
    return [{key: values[i] for key, values in data.items()} for i in range(length)]


def _replay(sequence: int, data: Mapping[str, Any], limits: TemperatureLimits | None) -> ReplayedDecision:
    text = str(data["decision_inputs_json"])
    history, stored_limits = inputs_from_json(text)
    stored = None if data["decision_finished"] else float(data["decision_next_temperature_k"])
    used = limits or stored_limits
    number = json.loads(text).get("again")
    if number is not None:
        return ReplayedDecision(sequence, stored, again_decision(second_warming(history, used), int(number)))
    return ReplayedDecision(sequence, stored, decide(history, used, wishes_from_json(text)))
