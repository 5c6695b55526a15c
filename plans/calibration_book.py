"""Calibrations on record: what was found, how well, when, from which run, and how old it may be."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from plans.settings import CoilCalibration, PreconditionError

DAY_S = 86400.0
AGE_MAX_S = {
    "coil": 7 * DAY_S,
    "field_direction": 180 * DAY_S,
    "powers": 30 * DAY_S,
    "ruby_zero": 30 * DAY_S,
    "camera": 90 * DAY_S,
    "thermometer": 90 * DAY_S,
}
"""Kind of calibration -> age from which it no longer counts, s: defaults of a laboratory, to be confirmed there."""


@dataclass(frozen=True)
class Calibration:
    """One calibration: named numbers with their standard deviations."""

    kind: str
    """One of `AGE_MAX_S`."""
    values: dict[str, float]
    """Name with its unit -> value."""
    sigmas: dict[str, float]
    """The same names -> standard deviation."""
    time_s: float
    """When it was measured, seconds since the epoch."""
    age_max_s: float
    """Age from which it no longer counts, s."""
    run_uid: str = ""
    """The run that it came from."""
    notes: tuple[str, ...] = field(default_factory=tuple)
    """What a reader must know, a sentence each."""

    def __post_init__(self) -> None:
        """Refuse a kind that nobody asks for, numbers that are not finite and values without an uncertainty."""
        if self.kind not in AGE_MAX_S:
            raise ValueError(f"no calibration {self.kind!r}; there are: {', '.join(AGE_MAX_S)}")
        if not self.values or set(self.values) != set(self.sigmas):
            raise ValueError(f"{self.kind}: every value needs a standard deviation, and there must be one")
        if not all(isfinite(number) for number in (*self.values.values(), *self.sigmas.values(), self.time_s)):
            raise ValueError(f"{self.kind}: values, sigmas and time must be finite")
        if self.age_max_s <= 0:
            raise ValueError(f"{self.kind}: age_max_s must be positive")

    @classmethod
    def made(
        cls,
        kind: str,
        found: dict[str, tuple[float, float]],
        time_s: float,
        run_uid: str = "",
        notes: Iterable[str] = (),
    ) -> Calibration:
        """Return a calibration from name -> (value, standard deviation), with the usual largest age."""
        values = {name: float(pair[0]) for name, pair in found.items()}
        sigmas = {name: float(pair[1]) for name, pair in found.items()}
        return cls(kind, values, sigmas, time_s, AGE_MAX_S.get(kind, DAY_S), run_uid, tuple(notes))

    def age_s(self, now_s: float | None = None) -> float:
        """Return its age, s."""
        return (time.time() if now_s is None else now_s) - self.time_s

    def fresh(self, now_s: float | None = None) -> bool:
        """Return whether it still counts."""
        return self.age_s(now_s) <= self.age_max_s

    def coil(self) -> CoilCalibration:
        """Return what a zero-field cool needs of a calibration of the coil."""
        return CoilCalibration(
            remanence_gauss=self.values["remanence_gauss"],
            remanence_sigma_gauss=self.sigmas["remanence_gauss"],
            scale=self.values["scale"],
            scale_sigma=self.sigmas["scale"],
            time_s=self.time_s,
            age_max_s=self.age_max_s,
        )


class CalibrationBook:
    """The calibrations of a rig in one file, a line of JSON each; lines are only ever added.

    Parameters
    ----------
    path
        The file; it need not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def add(self, calibration: Calibration) -> None:
        """Write a calibration down; it is on the disk when this returns."""
        line = json.dumps(asdict(calibration), sort_keys=True, allow_nan=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(line + "\n")
            file.flush()

    def all(self) -> list[Calibration]:
        """Return every calibration, oldest line first.

        Raises
        ------
        ValueError
            Naming the line that cannot be read.
        """
        if not self.path.is_file():
            return []
        rows: list[Calibration] = []
        for number, line in enumerate(self.path.read_text().splitlines(), start=1):
            try:
                values: dict[str, Any] = dict(json.loads(line))
                values["notes"] = tuple(values.get("notes", ()))
                rows.append(Calibration(**values))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{self.path}, line {number}: not a calibration: {error}") from error
        return rows

    def newest(self, kind: str) -> Calibration | None:
        """Return the newest calibration of a kind; None where there is none."""
        return max((row for row in self.all() if row.kind == kind), key=lambda row: row.time_s, default=None)

    def require(self, kind: str, why: str, now_s: float | None = None) -> Calibration:
        """Return the newest calibration of a kind.

        Raises
        ------
        PreconditionError
            Where there is none, or it is too old.
        """
        found = self.newest(kind)
        if found is None:
            raise PreconditionError(f"{why} needs a calibration {kind!r}; there is none in {self.path}")
        if not found.fresh(now_s):
            raise PreconditionError(
                f"{why} needs a calibration {kind!r} younger than {found.age_max_s / DAY_S:.3g} days; "
                f"the newest is {found.age_s(now_s) / DAY_S:.3g} days old: calibrate again"
            )
        return found
