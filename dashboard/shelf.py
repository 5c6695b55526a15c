"""Stored runs for the pages `Map gallery` and `Runs & replay`: looked for in a thread, while somebody looks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

from dashboard.hub import OURS
from stream.messages import Json, StateUpdate
from stream.stored_maps import (
    StoredRun,
    finite_mean,
    read_some,
    run_documents,
    runs_in_tiled,
    sample_mask,
    status_names,
    stored_runs,
)
from stream.stored_stress import ShearMap, read_shear, shear_file

log = logging.getLogger(__name__)

LOOK_S = 4.0
"""How often the shelf is looked at, s."""
GALLERY_RUNS = 8
"""Rows of the gallery."""
SHEAR_CHANNEL = "map/tau"
"""Channel of the shear stress."""
EDGE_PX = 64
"""Longest edge of a picture, pixels."""


class Wanted(Protocol):
    """What the shelf needs to know of the page: `dashboard.hub.Hub`."""

    def is_wanted(self, channel: str) -> bool:
        """Return whether any viewer shows a channel."""
        ...

    def header(self, channel: str) -> Json:
        """Return the header of a channel's newest update."""
        ...


class Shelf:
    """A thread that lists stored runs, reads small maps of the newest, and finds the shear stress of the present load.

    Parameters
    ----------
    data_dir
        Folder with `processed/` and `documents/`.
    tiled_uri
        Address of the Tiled server; empty without one.
    page
        Says what viewers look at, and which run is the present one.
    sink
        Takes the updates.
    """

    def __init__(self, data_dir: str, tiled_uri: str, page: Wanted, sink: Callable[[list[StateUpdate]], None]) -> None:
        self._data_dir, self._tiled_uri = data_dir, tiled_uri
        self._page, self._sink = page, sink
        self._stop = threading.Event()
        self._number = 0
        self._seen: set[Path] = set()
        self._facts: dict[tuple[str, float], Json] = {}
        self._shear: object = None
        self._thread = threading.Thread(target=self._run, name="shelf", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        looks = {"runs": self._look, SHEAR_CHANNEL: self._look_for_shear}
        looked = dict.fromkeys(looks, 0.0)
        while not self._stop.wait(0.2):
            for channel, look in looks.items():
                if not self._page.is_wanted(channel) or time.monotonic() - looked[channel] < LOOK_S:
                    continue
                try:
                    look()
                except Exception:
                    log.exception("what is stored cannot be looked at")
                looked[channel] = time.monotonic()

    def _look_for_shear(self) -> None:
        """Show the shear stress of the present run's load, or say why there is none."""
        run_uid = str(self._page.header("run").get("run_uid", ""))
        if not run_uid:
            return
        path, why = shear_file(self._data_dir, run_uid)
        state = (run_uid, why, None if path is None else (path, path.stat().st_mtime))
        if state == self._shear:
            return
        found, why = (None, why) if path is None else read_shear(path)
        self._put(SHEAR_CHANNEL, *shear_update(run_uid, found, why))
        self._shear = state

    def _look(self) -> None:
        on_disk = stored_runs(self._data_dir)
        said, listed = "", list[Json]()
        if self._tiled_uri:
            try:
                listed = runs_in_tiled(self._tiled_uri)
            except OSError as problem:
                said = str(problem)
        rows = [self._row(run) for run in on_disk]
        known = {str(row["run_uid"]) for row in rows}
        in_tiled = {str(cast("Any", row).get("start", {}).get("uid", "")) for row in listed}
        for row in rows:
            row["in_tiled"] = row["run_uid"] in in_tiled
        rows += [_without_maps(row) for row in listed if cast("Any", row).get("start", {}).get("uid", "") not in known]
        header: Json = {
            "runs": rows, "tiled": bool(self._tiled_uri), "tiled_answers": not said, "tiled_said": said,
        }  # fmt: skip
        self._put("runs", header, {})
        for run in on_disk[:GALLERY_RUNS]:
            self._pictures(run)

    def _row(self, run: StoredRun) -> Json:
        """Return one line of the list; read once per state of the run."""
        key = (run.run_uid, run.changed_s)
        if key not in self._facts:
            documents = run_documents(self._data_dir, run.run_uid)
            planes, attributes = read_some(run.sweeps[0], ("sigma_zz_gpa",), EDGE_PX)
            temperatures = [float(read_some(path, ())[1]["temperature_k"]) for path in run.sweeps]  # pyright: ignore[reportArgumentType]
            pressure = _mean_pressure(planes, attributes)
            self._facts[key] = {
                "run_uid": run.run_uid, "version": run.version, "sample": attributes.get("sample", ""),
                "rig": attributes.get("rig", ""), "plan": documents.start.get("plan_name", ""),
                "history": documents.start.get("field_history", ""), "started_s": _started(documents.start, run),
                "exit_status": documents.exit_status, "temperatures": len(temperatures),
                "low_k": min(temperatures), "high_k": max(temperatures), "sigma_zz_gpa": pressure,
                "complete": run.products is not None,
            }  # fmt: skip
        return dict(self._facts[key])

    def _pictures(self, run: StoredRun) -> None:
        pressure = self._facts[run.run_uid, run.changed_s]["sigma_zz_gpa"]
        for path in run.sweeps:
            if path in self._seen or self._stop.is_set():
                continue
            planes, attributes = read_some(path, ("s", "s_status", "sigma_zz_gpa", "sigma_zz_status"), EDGE_PX)
            self._seen.add(path)
            if not planes:  # a sweep that has neither: one without a reference whose stress is not known
                continue
            start = cast("Any", attributes["sweep_start"])
            header: Json = {
                "of_run": run.run_uid, "sweep": start["sweep"], "temperature_k": attributes["temperature_k"],
                "field_gauss": attributes["field_gauss"], "role": start["role"], "sigma_zz_gpa": pressure,
                "regions": {"sample": cast("Any", attributes.get("regions", {})).get("sample")},
                "pixel_size_um": attributes.get("pixel_size_um"), "step": attributes["step"],
                "status_names": status_names(attributes),
            }  # fmt: skip
            if "s" in planes and "REFERENCE" not in str(start["role"]):
                name = f"gallery/{run.run_uid}/{path.stem}"
                self._put(name, header, {"value": planes["s"], "status": planes["s_status"]})
            elif "sigma_zz_gpa" in planes and "OPENING" in str(start["role"]):
                arrays = {"value": planes["sigma_zz_gpa"], "status": planes["sigma_zz_status"]}
                self._put(f"gallery-stress/{run.run_uid}", header, arrays)

    def _put(self, channel: str, header: Json, arrays: dict[str, Any]) -> None:
        self._number += 1
        self._sink([StateUpdate(OURS, "", self._number, channel, time.time(), header, arrays)])


def shear_update(run_uid: str, found: ShearMap | None, why: str) -> tuple[Json, dict[str, Any]]:
    """Return header and arrays of the channel `map/tau` of a run: the map, or `why` there is none."""
    if found is None:
        return {"run_uid": run_uid, "why": why}, {}
    arrays = {"value": found.tau_gpa, "status": found.status, "arrows": found.arrows}
    return found.header | {"run_uid": run_uid}, arrays


def _mean_pressure(planes: dict[str, Any], attributes: Json) -> float | None:
    """Return mean sigma_ZZ over the sample, GPa; over the whole map where no outline is known, None without a map."""
    if "sigma_zz_gpa" not in planes:
        return None
    plane = planes["sigma_zz_gpa"]
    return finite_mean(plane, sample_mask(attributes, plane.shape, int(cast("Any", attributes["step"]))))


def _started(start: Json, run: StoredRun) -> float:
    return float(cast("Any", start.get("time", Path(run.sweeps[0]).stat().st_mtime)))


def _without_maps(documents: Json) -> Json:
    """Return the line of a run that Tiled has and this machine has no maps of."""
    start, stop = cast("Any", documents).get("start", {}), cast("Any", documents).get("stop") or {}
    return {
        "run_uid": str(start.get("uid", "")), "sample": start.get("sample", ""), "rig": start.get("rig", ""),
        "plan": start.get("plan_name", ""), "history": start.get("field_history", ""), "in_tiled": True,
        "started_s": float(start.get("time", 0.0)), "exit_status": stop.get("exit_status", ""), "temperatures": 0,
        "complete": False,
    }  # fmt: skip
