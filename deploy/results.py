"""Wait for what the map builder writes, and find it."""

from __future__ import annotations

import time
from math import inf
from pathlib import Path
from typing import Any

from deploy.errors import DeployError
from deploy.site import Site
from stream.messages import Severity
from stream.settings import StreamSettings
from stream.state import StateSubscriber

RESULTS_TIMEOUT_S = 120.0
"""Longest silence of the builder after the last frame, s."""
COUNTS_TIMEOUT_S = 10.0
"""Longest wait for the camera's counts once all is written, s: a camera that is gone has none."""
_FAILURES = {
    "cannot be analysed": "not analysed",
    "differs": "not reproduced",
    "cannot write": "not stored",
}
"""What the builder says where the maps will not be what was asked for, and how a command puts it."""


def wait_finished(settings: StreamSettings, run_uid: str, timeout_s: float = RESULTS_TIMEOUT_S) -> dict[str, Any]:
    """Wait until the builder says that the run's last result is written.

    Parameters
    ----------
    timeout_s
        Longest time without news of its maps, s.

    Returns
    -------
    dict
        Headers of the builder's `run` and `workers` and the camera's `camera`, by these names.

    Raises
    ------
    DeployError
        Where it does not say so in time, cannot write them, or stored maps of the same version have other bits.
    """
    deadline, complete_by = time.monotonic() + timeout_s, inf
    with StateSubscriber(settings, ("builder", "camera")) as state:
        while time.monotonic() < deadline:
            if any(update.channel.startswith(("map/", "sweep", "run")) for update in state.poll(0.2)):
                deadline = time.monotonic() + timeout_s
            _refuse_failed(state)
            headers = {channel: dict(update.header) for (_, channel), update in state.latest.items()}
            run = headers.get("run", {})
            if run.get("run_uid") == run_uid and run.get("finished"):
                # the two sources answer apart: what the camera counted may come after what the builder wrote
                complete_by = min(complete_by, time.monotonic() + COUNTS_TIMEOUT_S)
                if "camera" in headers or time.monotonic() > complete_by:
                    return {name: headers.get(name, {}) for name in ("run", "workers", "camera")}
    raise DeployError(
        f"the builder did not finish run {run_uid} within {timeout_s:.0f} s; see `nvdac status` and its log"
    )


def _refuse_failed(state: StateSubscriber) -> None:
    """Raise where the builder said that maps cannot be made or stored, or that they are not those on the disk."""
    update = state.latest.get(("builder", "events"))
    events: Any = update.header.get("events", []) if update is not None else []
    for event in events:
        text = str(event["text"])
        for mark, failure in _FAILURES.items():
            if mark in text and event["severity"] == Severity.MAJOR:
                raise DeployError(f"{failure}: {text}")


def maps_folder(site: Site, run_uid: str, version: str) -> Path:
    """Return the folder of a run's maps.

    Raises
    ------
    DeployError
        Where it is empty.
    """
    folder = Path(site.data_dir) / "processed" / run_uid / version
    if not any(folder.glob("*.h5")):
        raise DeployError(f"no maps of run {run_uid} in {folder}; no sweep of it was complete")
    return folder
