"""Which stored files belong to one load of a campaign."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from analyzers.campaign.collect import LoadFiles
from analyzers.campaign.collect_remnant import FIELD_FREE_GAUSS
from deploy.errors import DeployError
from stream.messages import FieldHistory
from stream.paths import documents_path, frames_path
from stream.run_list import RunFacts
from stream.stored_maps import read_some

NO_REFERENCE = RunFacts("")
"""No other run's reference is asked for."""


def reference_run(begin: str, everything: dict[str, RunFacts], data_dir: Path) -> RunFacts:
    """Return the run whose opening reference was asked for, `NO_REFERENCE` where none was.

    Raises
    ------
    DeployError
        Where it is not there, or not the only one of these letters.
    """
    if not begin:
        return NO_REFERENCE
    found = [run for uid, run in sorted(everything.items()) if uid.startswith(begin)]
    if len(found) != 1 or not frames_path(data_dir, found[0].run_uid).exists():
        raise DeployError(f"--reference {begin}: {len(found)} runs with frames begin so in {data_dir}; name one")
    return found[0]


def shares_load(reference: RunFacts, run: RunFacts, everything: dict[str, RunFacts]) -> bool:
    """Return whether a run is compared with a reference: another run of its sample and load."""
    own = everything.get(run.run_uid, run)
    mine = (own.sample, own.load_index) == (reference.sample, reference.load_index)
    return bool(reference.run_uid) and mine and own.run_uid != reference.run_uid


def has_ladder(products: Path) -> bool:
    """Return whether the products of a run are against temperature."""
    return "temperature_k" in read_some(products, ("temperature_k",))[0]


def load_files(
    run: RunFacts,
    runs: Sequence[RunFacts],
    everything: dict[str, RunFacts],
    folders: dict[str, str],
    data_dir: Path,
    chemistry: str = "",
) -> LoadFiles:
    """Return the files of the load that a field warming is of.

    Parameters
    ----------
    run
        The warming.
    runs, everything
        Runs of the campaign, and of the data folder by uid.
    folders
        Folder of the maps of each run.
    chemistry
        Registered La:Ni of the sample; empty: none.
    """
    own = everything.get(run.run_uid, run)
    alike = [other for other in runs if (other.sample, other.load_index) == (own.sample, own.load_index)]
    remnant, zero_field = _remnant_of(own, [everything.get(one.run_uid, one) for one in alike], folders)
    log, frames = documents_path(data_dir, run.run_uid), frames_path(data_dir, run.run_uid)
    return LoadFiles(
        folders[run.run_uid],
        _stress_of(own, alike, folders),
        chemistry,
        remnant,
        zero_field,
        str(log) if log.exists() else "",
        str(frames) if frames.exists() else "",
    )


def _stress_of(own: RunFacts, alike: Sequence[RunFacts], folders: dict[str, str]) -> str:
    """Return the joint map of a load: of the run it names, of itself, else of a run of the same sample and load."""
    for uid in (own.stress_run, own.run_uid, *(other.run_uid for other in alike)):
        path = Path(folders[uid]) / "joint.h5" if uid in folders else None
        if path is not None and path.exists():
            return str(path)
    return ""


def _remnant_of(own: RunFacts, alike: Sequence[RunFacts], folders: dict[str, str]) -> tuple[str, str]:
    """Return the remnant map of a load and the map without field before it; empty where one is lacking.

    A remnant that names this warming comes first, else the newest. The map without field is of the remnant's own run,
    else of the run that it names, else of the warming.
    """
    for run in sorted(alike, key=lambda one: (one.warming_run == own.run_uid, one.time_s), reverse=True):
        if run.run_uid not in folders:
            continue
        remnant = _bare_map(folders[run.run_uid], FieldHistory.FC_REMNANT)
        if not remnant:
            continue
        for uid in (run.run_uid, run.zero_field_run, own.run_uid):
            bare = _bare_map(folders[uid], FieldHistory.ZFC_FW) if uid in folders else ""
            if bare:
                return remnant, bare
        return remnant, ""
    return "", ""


def _bare_map(folder: str, history: FieldHistory) -> str:
    """Return the last map of a history that was taken without field; empty where there is none."""
    return next((str(path) for path, state in _states(folder) if state == history), "")


def _states(folder: str) -> Iterator[tuple[Path, str]]:
    """Yield file and history of the maps without field, the last first."""
    for path in sorted(Path(folder).glob("sweep_*.h5"), reverse=True):
        state = cast("Any", read_some(path, ())[1])["sweep_start"]["state"]
        if abs(float(state["field_gauss"])) < FIELD_FREE_GAUSS:
            yield path, str(state.get("history", ""))
