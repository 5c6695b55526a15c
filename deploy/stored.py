"""Find a stored run by its uid, or the first letters of it, in the data folders there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deploy.errors import DeployError
from deploy.site import find_site, running_sites
from deploy.up import default_data_dir

SHORTEST_UID = 4


def find_frames(uid: str, data: Path | None, site: str | None) -> Path:
    """Return the frames file of the run `uid`.

    Parameters
    ----------
    uid
        Run uid, or at least its first four letters.
    data, site
        Data folder or running site to look in; without them all running sites and all folders below ./data.

    Raises
    ------
    DeployError
        Where no run, or more than one, has that uid.
    """
    if data is not None and not data.is_dir():
        raise DeployError(f"no data folder {data}; check --data{folders_hint()}")
    if len(uid) < SHORTEST_UID:
        raise DeployError(f"run uid {uid!r} is too short; give at least its first {SHORTEST_UID} letters")
    folders = list(dict.fromkeys(folder.resolve() for folder in _folders(data, site) if folder.is_dir()))
    found = {
        path.stem: path for folder in folders for path in (folder / "frames").glob("*.h5") if path.stem.startswith(uid)
    }
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise DeployError(f"{len(found)} runs begin with {uid!r}: {', '.join(sorted(found))}; give more letters")
    places = ", ".join(str(folder) for folder in folders) or "any data folder here"
    raise DeployError(
        f"no run {uid!r} in {places}; name its data folder with --data (each run is one file in its frames/)"
        + (folders_hint() if data is not None else "")
    )


def folders_hint() -> str:
    """Return the data folders found below ./data as the end of a refusal; empty where there is none."""
    below = sorted(path.parent for path in Path("data").glob("*/frames")) if Path("data").is_dir() else []
    return f"; data folders here: {', '.join(map(str, below))} (choose with --data)" if below else ""


def _folders(data: Path | None, site: str | None) -> Iterator[Path]:
    """Yield the data folders to look in."""
    if data is not None:
        yield data
    elif site is not None:
        yield Path(find_site(site).data_dir)
    else:
        yield default_data_dir()
        for running in running_sites():
            yield Path(running.data_dir)
        if Path("data").is_dir():
            yield from sorted(path for path in Path("data").iterdir() if path.is_dir())
