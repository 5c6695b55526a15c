"""A stored run played again for one viewer: its maps, one sweep after the other, at any speed, in the same page.

What is played are the maps as they were stored; nothing is fitted again (`nvdac replay` does that).
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any, cast

import numpy as np

from dashboard.hub import Hub
from dashboard.shelf import SHEAR_CHANNEL, shear_update
from stream.messages import Json, StateUpdate
from stream.stored_maps import RunDocuments, StoredRun, marked_points, read_some, run_documents, status_names
from stream.stored_stress import read_shear, shear_file

log = logging.getLogger(__name__)

SHORTEST_S, LONGEST_S = 0.25, 3600.0
"""A sweep is shown for at least and at most that long, s."""
GAP_S = 20.0
"""Distance of sweeps whose times are not known, s."""
FILM_PX = 64
SOURCE = "replay"
PLANES = ("s", "s_status", "sigma_s", "sigma_zz_gpa", "sigma_zz_status", "chi2", "status")
MAPS = (("s", "s", "s_status", "1"), ("sigma_zz", "sigma_zz_gpa", "sigma_zz_status", "GPa"))
"""(channel, plane, its status, unit)."""


class Playback:
    """Plays one run into a hub of its own.

    Parameters
    ----------
    data_dir
        Where its documents are.
    run
        The run.
    speed
        Factor on the recorded pace; 0 stands still.
    """

    def __init__(self, data_dir: str, run: StoredRun, speed: float) -> None:
        self.hub = Hub()
        self.run, self.speed, self.position = run, speed, 0
        self._data_dir = data_dir
        self._number = 0
        self._wake = asyncio.Event()
        self._documents = RunDocuments()
        self._times: list[float] = []
        self._film: list[Json] = []

    def steer(self, speed: float | None, position: int | None) -> None:
        """Change the speed, or go to another sweep."""
        if speed is not None:
            self.speed = speed
        if position is not None:
            self.position = min(max(position, 0), len(self.run.sweeps) - 1)
            self.hub.forget("film/")
        self._tell()
        self._wake.set()

    async def play(self) -> None:
        """Show sweep after sweep until cancelled; the last one stays."""
        self._documents = await asyncio.to_thread(run_documents, self._data_dir, self.run.run_uid)
        self._times = [when for stream, when, _ in self._documents.events if stream == "primary"]
        if self.run.products is not None:
            names = ("temperature_k", "sweep", "s", "sigma_s", "tc_k", "tc_status")
            self._products, _ = await asyncio.to_thread(read_some, self.run.products, names)
        else:
            self._products = {}
        path, why = await asyncio.to_thread(shear_file, self._data_dir, self.run.run_uid)
        found, why = (None, why) if path is None else await asyncio.to_thread(read_shear, path)
        self._put(SHEAR_CHANNEL, *shear_update(self.run.run_uid, found, why))
        while True:
            shown = self.position
            await self._show(shown)
            self._wake.clear()
            while self.position == shown:
                try:
                    async with asyncio.timeout(self._pause_s(shown)):
                        await self._wake.wait()
                    self._wake.clear()
                except TimeoutError:
                    self.position = shown + 1

    def _pause_s(self, index: int) -> float | None:
        if self.speed <= 0 or index + 1 >= len(self.run.sweeps):
            return None
        known = len(self._times) == len(self.run.sweeps)
        gap = self._times[index + 1] - self._times[index] if known else GAP_S
        return min(max(gap / self.speed, SHORTEST_S), LONGEST_S)

    async def _show(self, index: int) -> None:
        for earlier in range(index + 1):
            if f"film/{earlier:04d}" in self.hub:
                continue
            small = await asyncio.to_thread(read_some, self.run.sweeps[earlier], ("s", "s_status"), FILM_PX)
            self._film_of(earlier, *small)
        planes, attributes = await asyncio.to_thread(read_some, self.run.sweeps[index], PLANES)
        start = cast("Any", attributes["sweep_start"])
        about: Json = {
            "run_uid": self.run.run_uid, "sweep": start["sweep"], "revision": 1, "final": True,
            "temperature_k": attributes["temperature_k"],
        }  # fmt: skip
        names = status_names(attributes)
        shape = planes["status"].shape
        self._run_channel(attributes, shape)
        self._put("sweep", about | {"role": start["role"], "field_gauss": attributes["field_gauss"]}, {})
        for channel, plane, status, unit in MAPS:
            if plane in planes:
                header = about | {"unit": unit, "reference": "", "status_names": names}
                self._put(f"map/{channel}", header, {"value": planes[plane], "status": planes[status]})
        self._curves(index, attributes, cast("tuple[int, int]", shape), names, about)
        self._plan(index)
        self._tell()

    def _run_channel(self, attributes: Json, shape: tuple[int, ...]) -> None:
        header: Json = {
            "run_uid": self.run.run_uid, "mode": "REPLAY", "sample": attributes.get("sample", ""),
            "rig": attributes.get("rig", ""), "pixel_size_um": attributes.get("pixel_size_um", 1.0),
            "regions": self._regions(attributes), "height": shape[0], "width": shape[1],
            "started_s": self._documents.start.get("time", self.run.changed_s),
            "finished": self.position + 1 == len(self.run.sweeps),
            "version": self.run.version, "stored": True,
        }  # fmt: skip
        self._put("run", header, {})

    def _regions(self, attributes: Json) -> Json:
        """Return the regions as the run was started with: the marked points in their order, so in their colours."""
        return cast("Json", self._documents.start.get("regions") or attributes.get("regions", {}))

    def _film_of(self, index: int, planes: dict[str, Any], attributes: Json) -> None:
        if "s" not in planes:
            return
        start = cast("Any", attributes["sweep_start"])
        header: Json = {
            "run_uid": self.run.run_uid, "sweep": start["sweep"], "temperature_k": attributes["temperature_k"],
            "field_gauss": attributes["field_gauss"], "role": start["role"], "status_names": status_names(attributes),
        }  # fmt: skip
        self._put(f"film/{index:04d}", header, {"value": planes["s"], "status": planes["s_status"]})

    def _curves(self, index: int, attributes: Json, shape: tuple[int, int], names: list[str], about: Json) -> None:
        """Show s(T) at the marked points, as far as it has been played; Tc with the last sweep."""
        if "s" not in self._products:
            return
        played = self._products["sweep"] <= cast("Any", about)["sweep"]
        points = marked_points(attributes | {"regions": self._regions(attributes)}, shape)
        picked = [(int(cast("Any", p)["y_px"]), int(cast("Any", p)["x_px"])) for p in points]
        arrays = {"temperature_k": self._products["temperature_k"][played]}
        for name in ("s", "sigma_s"):
            arrays[name] = np.array([self._products[name][played, y, x] for y, x in picked], np.float64)
        self._put("curve/s", {"run_uid": self.run.run_uid, "window_px": 1, "points": points}, arrays)
        if index + 1 == len(self.run.sweeps) and "tc_k" in self._products:
            header = about | {"unit": "K", "reference": "", "status_names": names}
            self._put("map/tc", header, {"value": self._products["tc_k"], "status": self._products["tc_status"]})
        elif "map/tc" in self.hub:
            self.hub.forget("map/tc")

    def _plan(self, index: int) -> None:
        """Show what the plan said then: how far it was, R(T), and its decision."""
        header: Json = {
            "run_uid": self.run.run_uid, "history": self._documents.start.get("field_history", ""), "phases": [],
            "points_done": index + 1, "points_planned": len(self.run.sweeps), "planned_temperatures_k": [],
        }  # fmt: skip
        until = self._times[index + 1] if index + 1 < len(self._times) else float("inf")
        rows = [cast("Any", data) for stream, _, data in self._documents.events if stream == "primary"][: index + 1]
        measured = [(row["cryostat_sample_k"], row["transport_resistance_ohm"])
                    for row in rows if "transport_resistance_ohm" in row and "cryostat_sample_k" in row]  # fmt: skip
        if measured:
            columns = np.array(measured, np.float64)
            arrays = {"temperature_k": columns[:, 0], "resistance_ohm": columns[:, 1]}
            self._put("transport", {"run_uid": self.run.run_uid}, arrays)
        decided = [cast("Any", data) for stream, when, data in self._documents.events
                   if stream == "decision" and when <= until]  # fmt: skip
        if decided:
            self._decision(decided[-1], len(decided))
            header["planned_temperatures_k"] = json.loads(decided[-1].get("decision_path_json", "[]"))
        self._put("plan", header, {})

    def _decision(self, data: Any, number: int) -> None:
        scores = json.loads(data.get("decision_scores_json", "{}"))
        gain = np.array(scores.get("gain", []), np.float64)
        header: Json = {
            "run_uid": self.run.run_uid, "n": number, "reason": data.get("decision_reason", ""),
            "next_temperature_k": None if data.get("decision_finished") else data.get("decision_next_temperature_k"),
            "step_k": data.get("decision_step_k"), "fallback": bool(data.get("decision_fallback")),
            "gain": float(gain.max()) if gain.size else 0.0,
        }  # fmt: skip
        candidates = np.array(scores.get("candidate_temperature_k", []), np.float64)
        self._put("decision", header, {"candidate_temperature_k": candidates, "gain": gain})

    def _tell(self) -> None:
        """Say where the replay stands."""
        header: Json = {
            "run_uid": self.run.run_uid, "speed": self.speed, "position": self.position,
            "sweeps": len(self.run.sweeps), "at_s": self._times[self.position] if self._timed else None,
        }  # fmt: skip
        self._put("replay", header, {})

    @property
    def _timed(self) -> bool:
        return self.position < len(self._times)

    def _put(self, channel: str, header: Json, arrays: dict[str, Any]) -> None:
        self._number += 1
        self.hub.put(StateUpdate(SOURCE, self.run.run_uid, self._number, channel, time.time(), header, arrays))
