"""Wait for what the map builder writes, and find it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from deploy.errors import DeployError
from deploy.site import Site
from stream.settings import StreamSettings
from stream.state import StateSubscriber

RESULTS_TIMEOUT_S = 120.0
"""Longest silence of the builder after the last frame, s."""


def wait_finished(settings: StreamSettings, run_uid: str, timeout_s: float = RESULTS_TIMEOUT_S) -> dict[str, Any]:
    """Wait until the builder says that the run's last result is written.

    Returns
    -------
    dict
        Headers of the builder's `run` and `workers` and the camera's `camera`, by these names.

    Raises
    ------
    DeployError
        Where it does not say so in time, or stored maps of the same version have other bits.
    """
    deadline = time.monotonic() + timeout_s
    with StateSubscriber(settings, ("builder", "camera")) as state:
        while time.monotonic() < deadline:
            state.poll(0.2)
            headers = {channel: dict(update.header) for (_, channel), update in state.latest.items()}
            run = headers.get("run", {})
            if run.get("run_uid") == run_uid and run.get("finished"):
                _refuse_differing(state)
                return {name: headers.get(name, {}) for name in ("run", "workers", "camera")}
    raise DeployError(
        f"the builder did not finish run {run_uid} within {timeout_s:.0f} s; see `nvdac status` and its log"
    )


def _refuse_differing(state: StateSubscriber) -> None:
    """Raise where the builder found other maps of the same version on disk."""
    update = state.latest.get(("builder", "events"))
    events: Any = update.header.get("events", []) if update is not None else []
    for event in events:
        if "differs" in str(event["text"]):
            raise DeployError(f"not reproduced: {event['text']}")


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
