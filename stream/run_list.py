"""Which runs there are, and what their start documents say: the query behind a campaign."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, cast

from stream.archive_hdf5 import FrameFile, FramesError
from stream.catalog import RAW, catalog
from stream.messages import Json


@dataclass(frozen=True)
class RunFacts:
    """What a campaign chooses runs by."""

    run_uid: str
    """The Bluesky run."""
    sample: str = ""
    """Name of the sample."""
    plan: str = ""
    """Name of the plan."""
    load_index: int = -1
    """Number of the pressure point; -1 where it is not known."""
    time_s: float = 0.0
    """Start, seconds since the epoch."""
    stress_run: str = ""
    """Run with the stress map of the same load, where it names one."""
    warming_run: str = ""
    """Field warming of the same load, where it names one."""
    zero_field_run: str = ""
    """Run with the map without field that its remnant is compared with, where it names one."""


@dataclass(frozen=True)
class RunQuery:
    """Which runs are wanted; what is empty or None does not matter."""

    uids: tuple[str, ...] = ()
    """First letters of run uids."""
    sample: str = ""
    """Name of the sample."""
    plan: str = ""
    """Name of the plan."""
    load_index: int | None = None
    """Number of the pressure point."""
    since: date | None = None
    """First day."""
    until: date | None = None
    """Last day, included."""

    def wants(self, run: RunFacts) -> bool:
        """Return whether a run is wanted."""
        day = datetime.fromtimestamp(run.time_s).date()
        return (
            (not self.uids or any(run.run_uid.startswith(uid) for uid in self.uids))
            and self.sample in ("", run.sample)
            and self.plan in ("", run.plan)
            and self.load_index in (None, run.load_index)
            and (self.since is None or day >= self.since)
            and (self.until is None or day <= self.until)
        )


def facts_of(start: Json) -> RunFacts:
    """Return what a start document says of its run."""
    values = cast("dict[str, Any]", start)
    return RunFacts(
        run_uid=str(values.get("uid", "")),
        sample=str(values.get("sample", "") or ""),
        plan=str(values.get("plan_name", "")),
        load_index=int(values.get("load_index", -1) if values.get("load_index") is not None else -1),
        time_s=float(values.get("time", 0.0)),
        stress_run=str(values.get("stress_run", "")),
        warming_run=str(values.get("warming_run", "")),
        zero_field_run=str(values.get("zero_field_run", "")),
    )


def runs_on_disk(data_dir: str | Path) -> list[RunFacts]:
    """Return the runs of a data folder, the oldest first: from its document logs, else from the frames files."""
    found: dict[str, RunFacts] = {}
    for path in sorted(Path(data_dir, "frames").glob("*.h5")):
        try:
            with FrameFile(path) as file:
                start, sweeps = file.start, file.sweeps
        except (FramesError, ValueError):
            continue  # a file that is being written, or none of ours: `nvdac recover` speaks of it
        load = sweeps[0].state.load_index if sweeps else -1
        found[start.run_uid] = RunFacts(start.run_uid, start.sample, "", load, start.time_s)
    for path in sorted(Path(data_dir, "documents").glob("*.jsonl")):
        with path.open() as file:
            first = file.readline()
        try:
            row = json.loads(first)
        except ValueError:
            continue
        if row.get("name") == "start":
            facts = facts_of(row["doc"])
            known = found.get(facts.run_uid)
            if known is not None and facts.load_index < 0:
                facts = replace(facts, sample=facts.sample or known.sample, load_index=known.load_index)
            found[facts.run_uid] = facts
    return sorted(found.values(), key=lambda run: (run.time_s, run.run_uid))


def runs_in_catalog(uri: str, query: RunQuery, api_key: str | None = None) -> list[RunFacts]:
    """Return the runs of a Tiled server that are wanted, the oldest first; all but the uids is searched there.

    Raises
    ------
    stream.catalog.CatalogError
        Where the server does not answer or refuses.
    """
    from tiled.queries import Comparison, Key

    with catalog(uri, api_key) as client:
        runs: Any = client[RAW]
        for key, value in (("start.sample", query.sample), ("start.plan_name", query.plan)):
            if value:
                runs = runs.search(Key(key) == value)
        if query.load_index is not None:
            runs = runs.search(Key("start.load_index") == query.load_index)
        for operator, day in (("ge", query.since), ("lt", query.until and query.until + timedelta(days=1))):
            if day is not None:
                runs = runs.search(Comparison(operator, "start.time", datetime.combine(day, time()).timestamp()))
        starts = [dict(run.metadata.get("start", {})) for run in runs.values()]
    return chosen((facts_of(start) for start in starts), query)


def chosen(runs: Iterable[RunFacts], query: RunQuery) -> list[RunFacts]:
    """Return the runs that are wanted, the oldest first."""
    return sorted((run for run in runs if query.wants(run)), key=lambda run: (run.time_s, run.run_uid))
