"""Places that a command is about to write to, looked at before the work begins and not after it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

from deploy.errors import DeployError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a full disk, a full quota and a limit on the size of files say."""
NOT_PLAIN = '%;#?$"\\'
"""Characters that mean something in supervisord's configuration, in Tiled's and in the address of a file."""
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def existing(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return place


def free_mib(folder: Path) -> float:
    """Return the free space where `folder` is or would be, MiB."""
    return shutil.disk_usage(existing(folder)).free / 2**20


def require_space(folder: Path, needed_mib: float, what: str) -> None:
    """Refuse to begin what would fill the disk.

    Raises
    ------
    DeployError
        Where less than `needed_mib` is free.
    """
    free = free_mib(folder)
    if free < needed_mib:
        raise DeployError(
            f"{what} needs {needed_mib:.0f} MiB in {folder}, {free:.0f} MiB are free; "
            "free some space there or choose another folder"
        )


def require_file(path: Path | None, option: str) -> None:
    """Refuse a file that cannot be written; `-` is always good.

    What is written is a new file that takes the name of the old one: a device, a pipe or a socket of that name would
    be gone afterwards, so they are refused.

    Raises
    ------
    DeployError
        Where it is a folder or anything else that is no file, its folder is absent or not writable.
    """
    if path is None or str(path) == "-":
        return
    folder = (Path(os.path.realpath(path)) if path.is_symlink() else path).parent
    if path.is_dir():
        reason = "it is a folder"
    elif path.exists() and not path.is_file():
        raise DeployError(f"{option} {path}: it is no ordinary file and would be replaced by one; name a file")
    elif not folder.is_dir():
        reason = f"there is no folder {folder}"
    else:
        reason = _refusal(folder)
    if reason:
        raise DeployError(f"{option} {path}: {reason}; name a file in a folder that you may write to")


def require_apart(**places: Path | str | None) -> None:
    """Refuse to write one file over another that the same command reads or writes; names are those of the options.

    Raises
    ------
    DeployError
        Where two of them are the same file.
    """
    seen: dict[Path, str] = {}
    for name, place in places.items():
        if place is None or str(place) == "-":
            continue
        target = Path(os.path.realpath(place))
        if target in seen:
            raise DeployError(f"--{name} {place}: that is {seen[target]} too; name another file")
        seen[target] = f"--{name}" if name in ("out", "json") else f"the {name}"


def require_folder(folder: Path, option: str) -> None:
    """Refuse a data folder that cannot be made or written to.

    Raises
    ------
    DeployError
        Where it, or the nearest parent that exists, is not a folder of ours.
    """
    place = existing(folder)
    reason = _refusal(place) if place.is_dir() else f"{place} is not a folder"
    if reason:
        raise DeployError(f"{option} {folder}: {reason}; choose another")


def require_plain(path: Path, what: str) -> None:
    """Refuse a path that the process manager or the Tiled server would read as something else.

    Raises
    ------
    DeployError
        Naming the characters that stand for something in their configurations and addresses.
    """
    found = sorted({letter for letter in str(path) if letter in NOT_PLAIN or not letter.isprintable()})
    if found:
        shown = " ".join(letter if letter.isprintable() else repr(letter) for letter in found)
        raise DeployError(f"{what} {str(path)!r}: servers cannot work with {shown} in a path; choose one without")


def _refusal(folder: Path) -> str:
    """Return why no file can be made in a folder, empty where one can: tried, since rights do not tell all."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"cannot write there ({error.strerror or error})"


def explain(error: OSError) -> str:
    """Return one line for a failure of the file system that nobody foresaw."""
    reason = (error.strerror or str(error) or type(error).__name__).splitlines()[0]
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in FULL:
        return f"{where}{reason}; free some space there or choose another folder (--data, --out)"
    if error.errno in DENIED:
        return f"{where}{reason}; choose a folder that you may write to (--data, --out)"
    return f"{where}{reason}"
