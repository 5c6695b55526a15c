"""`nvdac campaign`: from stored runs to phase diagrams, in steps that are kept by the hash of what they depend on.

Steps: maps of every run (frames, settings, constants, code), maps of every load (contents of those files), products of
the campaign (loads and settings). A step whose key is known is not done again, so a campaign that was killed, or to
which runs were added, does what is missing.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from analyzers.campaign.load_maps import CampaignError
from analyzers.campaign.products import CAMPAIGN_VERSION, CampaignSettings, make_campaign
from analyzers.campaign.tasks import LoadTask, RunTask, analyse_run, collect, load_path, run_key, stored_load
from deploy.campaign_files import has_ladder, load_files, reference_run, shares_load
from deploy.campaign_pool import pool, run_all
from deploy.campaign_steps import Steps
from deploy.campaign_tiled import TiledMaps
from deploy.errors import DeployError
from deploy.output import write_whole
from deploy.stored import folders_hint
from stream.catalog import CatalogError
from stream.digests import json_digest
from stream.maps_file import MapsFileError, is_maps_file, write_parts
from stream.messages import Json
from stream.paths import frames_path
from stream.run_list import RunFacts, RunQuery, chosen, runs_in_catalog, runs_on_disk
from stream.stored_maps import stored_runs

PRODUCTS = "campaign.h5"
FACTS = "campaign.json"
NO_ZERO_FIELD = "no zero-field map for its remnant, so no trapped flux; add the run with one, or measure it"


@dataclass(frozen=True)
class CampaignRequest:
    """What is asked for."""

    data_dir: Path
    """Data folder with the runs."""
    out: Path
    """Folder of the result."""
    query: RunQuery = field(default_factory=RunQuery)
    """Which runs."""
    tiled_uri: str = ""
    """Tiled server that is asked which runs there are, and told of their maps; empty: the data folder itself."""
    changes: tuple[tuple[str, object], ...] = ()
    """Analysis settings that are not those of the runs."""
    reference: str = ""
    """Run, or the first letters of its uid, whose opening reference those of its sample and load are compared with."""
    chemistry: tuple[tuple[str, str], ...] = ()
    """Sample -> file of its registered La:Ni."""
    settings: CampaignSettings = field(default_factory=CampaignSettings)
    """How maps are put together."""
    processes: int = 0
    """Processes; 0: one per core."""
    dask: str | None = None
    """Dask scheduler instead of processes of this host."""


def run_campaign(request: CampaignRequest) -> Json:
    """Do what is missing of a campaign, and write its result.

    Returns
    -------
    Json
        Where the result is, what was done and what was known, seconds of each step, and what failed.

    Raises
    ------
    DeployError
        Where no run is wanted, none gives a load, or the result cannot be written.
    """
    began = time.perf_counter()
    runs = find_runs(request)
    everything = {run.run_uid: run for run in runs_on_disk(request.data_dir)} | {run.run_uid: run for run in runs}
    steps = Steps(request.data_dir / "campaigns")
    tiled = TiledMaps(request.data_dir, request.tiled_uri, steps)
    asked = time.perf_counter()
    with pool(request.processes, request.dask) as executor:
        folders, failed = _maps_of_runs(request, runs, everything, steps, executor, tiled)
        looked = time.perf_counter()
        told = tiled.finish()
        registered = time.perf_counter()
        loads, refused = _loads(request, runs, everything, folders, steps, executor)
    if not loads:
        raise DeployError(_nothing({**failed, **refused}))
    collected = time.perf_counter()
    made = _products(request, loads, steps)
    return {
        "out": str(request.out),
        "runs": len(runs),
        "loads": len(loads),
        "steps_done": steps.done,
        "steps_known": steps.known,
        "failed": {**failed, **refused},
        "tiled": told,
        "key": made,
        "seconds": {
            "look_up": round(asked - began, 3),
            "maps": round(looked - asked, 3),
            "tiled": round(registered - looked, 3),
            "loads": round(collected - registered, 3),
            "products": round(time.perf_counter() - collected, 3),
        },
    }


def find_runs(request: CampaignRequest) -> list[RunFacts]:
    """Return the runs that are wanted, the oldest first.

    Raises
    ------
    DeployError
        Where there is none, or Tiled does not answer.
    """
    if not request.data_dir.is_dir():
        raise DeployError(f"no data folder {request.data_dir}; check --data{folders_hint()}")
    try:
        if request.tiled_uri:
            runs = runs_in_catalog(request.tiled_uri, request.query)
        else:
            runs = chosen(_known_runs(request.data_dir), request.query)
    except CatalogError as error:
        raise DeployError(str(error)) from error
    if not runs:
        raise DeployError(
            f"no run in {request.data_dir} is what was asked for; see its documents/ and frames/{folders_hint()}"
        )
    return runs


def _known_runs(data_dir: Path) -> list[RunFacts]:
    """Return every run of a data folder, those with maps alone among them."""
    from stream.stored_maps import read_some

    runs = runs_on_disk(data_dir)
    uids = {run.run_uid for run in runs}
    for stored in stored_runs(data_dir):
        if stored.run_uid not in uids:
            facts: Any = read_some(stored.sweeps[0], ())[1]
            load = facts["sweep_start"]["state"]["load_index"]
            runs.append(RunFacts(stored.run_uid, str(facts.get("sample", "")), "", int(load), stored.changed_s))
    return runs


def _maps_of_runs(
    request: CampaignRequest,
    runs: Sequence[RunFacts],
    everything: dict[str, RunFacts],
    steps: Steps,
    executor: Any,
    tiled: TiledMaps,
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the folder of each run's maps, and of each run without any the reason; Tiled is told as they are made."""
    reference = reference_run(request.reference, everything, request.data_dir)
    folders: dict[str, str] = {}
    failed: dict[str, str] = {}
    missing: list[tuple[str, str, RunTask]] = []
    stored = {run.run_uid: run for run in stored_runs(request.data_dir)}
    for run in runs:
        frames = frames_path(request.data_dir, run.run_uid)
        if not frames.exists():
            if run.run_uid in stored and not request.changes and not shares_load(reference, run, everything):
                folders[run.run_uid] = str(stored[run.run_uid].sweeps[0].parent)
                tiled.add(folders[run.run_uid])
            else:
                failed[run.run_uid] = "no frames in the data folder"
            continue
        other = str(frames_path(request.data_dir, reference.run_uid)) if shares_load(reference, run, everything) else ""
        task = RunTask(str(request.data_dir), str(frames), request.changes, other)
        try:
            key = run_key(task)
        except (OSError, ValueError) as error:
            failed[run.run_uid] = str(error).splitlines()[0]
            continue
        record = steps.result(key)
        if record is None:
            missing.append((run.run_uid, key, task))
        else:
            folders[run.run_uid] = str(record["folder"])
            tiled.add(folders[run.run_uid])
    with tqdm(total=len(missing), unit="run", desc="maps", disable=None if missing else True) as bar:

        def keep(number: int, record: Json) -> None:
            uid, key, _ = missing[number]
            steps.finish(key, record)
            folders[uid] = str(record["folder"])
            tiled.add(folders[uid])
            bar.update()

        errors = run_all(executor, analyse_run, [task for _, _, task in missing], keep)
    failed |= {missing[number][0]: text for number, text in errors.items()}
    return folders, failed


def _loads(
    request: CampaignRequest,
    runs: Sequence[RunFacts],
    everything: dict[str, RunFacts],
    folders: dict[str, str],
    steps: Steps,
    executor: Any,
) -> tuple[list[str], dict[str, str]]:
    """Return the files of the loads' maps, and of each warming that gives none the reason."""
    chemistry = dict(request.chemistry)
    warmings = [run for run in runs if run.run_uid in folders and (Path(folders[run.run_uid]) / "products.h5").exists()]
    tasks: list[LoadTask] = []
    owners: list[str] = []
    found: list[str] = []
    notes: dict[str, str] = {}
    for run in warmings:
        if not has_ladder(Path(folders[run.run_uid]) / "products.h5"):
            continue
        files = load_files(run, runs, everything, folders, request.data_dir, chemistry.get(run.sample, ""))
        if files.remnant and not files.zero_field:
            notes[Path(files.remnant).parents[1].name] = NO_ZERO_FIELD
        task = LoadTask(files, str(steps.folder / "loads"))
        if load_path(task).exists():
            steps.known += 1
            found.append(str(load_path(task)))
        else:
            tasks.append(task)
            owners.append(run.run_uid)

    def keep(_: int, path: str) -> None:
        steps.done += 1
        found.append(path)

    errors = run_all(executor, collect, tasks, keep)
    return sorted(found), {**notes, **{owners[number]: text for number, text in errors.items()}}


def _nothing(reasons: dict[str, str]) -> str:
    told = "; ".join(f"{uid[:8]}: {reason}" for uid, reason in list(reasons.items())[:3])
    return f"no run gives the maps of a load{': ' + told if told else ': none is a field warming with a reference'}"


def _products(request: CampaignRequest, loads: Sequence[str], steps: Steps) -> str:
    """Write the campaign's file and its numbers; returns their key."""
    settings = request.settings
    content: Json = {"loads": [Path(path).name for path in loads], "settings": dataclasses.asdict(settings)}
    key = json_digest({**content, "step": "campaign", "version": CAMPAIGN_VERSION})
    target = request.out / PRODUCTS
    if target.exists() and not is_maps_file(target):
        raise DeployError(f"{target} exists and is none of ours; name another folder with --out")
    kept = _kept_key(request.out / FACTS)
    if kept == key and target.exists():
        steps.known += 1
        return key
    try:
        made = make_campaign([stored_load(path) for path in loads], settings)
        request.out.mkdir(parents=True, exist_ok=True)
        write_parts(target, made.parts)
    except (CampaignError, MapsFileError) as error:
        raise DeployError(str(error)) from error
    facts = {**made.facts, "key": key, "load_files": [str(path) for path in loads], "data": str(request.data_dir)}
    write_whole(request.out / FACTS, json.dumps(facts, indent=2, allow_nan=False) + "\n")
    steps.done += 1
    return key


def _kept_key(path: Path) -> str:
    try:
        return str(json.loads(path.read_text()).get("key", ""))
    except (OSError, ValueError, AttributeError):
        return ""
