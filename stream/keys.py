"""CURVE keys of this host: its own pair, the keys of the workers it admits, and the key of the camera's host.

All lie in one folder of the user's own (`NVDAC_KEYS_DIR`, else `nvdac/keys` in the configuration folder), never in a
repository, a rig file, a settings file, a log or a command line. Keys are 40 characters of Z85.

=========  ====  ================================================================
`secret`   0600  this host's secret key; `NVDAC_SECRET_KEY` goes before it
`allowed`  0600  on the camera's host: a line `name public-key` per worker's host
`server`   0600  on a worker's host: public key of the camera's host; `NVDAC_SERVER_KEY` goes before it
=========  ====  ================================================================
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import zmq

SECRET_VARIABLE = "NVDAC_SECRET_KEY"
SERVER_VARIABLE = "NVDAC_SERVER_KEY"
FOLDER_VARIABLE = "NVDAC_KEYS_DIR"
HELP = "see docs/how-to/several-hosts.md"

_KEY = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class KeysError(OSError):
    """Keys are missing or unsafe; the message is one line for people and never holds a secret."""


def keys_dir() -> Path:
    """Return the folder of this user's keys."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "nvdac" / "keys"


def new_pair(replace: bool = False) -> str:
    """Make this host's pair, keep the secret key and return the public one.

    Raises
    ------
    KeysError
        Where there is one already, or the folder is within a repository.
    """
    folder = keys_dir()
    for place in (folder.absolute(), *folder.absolute().parents):
        if (place / ".git").exists():
            raise KeysError(f"{folder} lies in the repository {place}: keys belong elsewhere, set {FOLDER_VARIABLE}")
    if (folder / "secret").exists() and not replace:
        raise KeysError(f"there is a key in {folder} already; --replace makes another, which nobody admits yet")
    public, secret = zmq.curve_keypair()
    _write("secret", secret.decode())
    return public.decode()


def own_pair() -> tuple[str, str]:
    """Return (public, secret) key of this host.

    Raises
    ------
    KeysError
        Where there is none, it is not a key, or others can read its file.
    """
    secret = os.environ.get(SECRET_VARIABLE) or _read("secret")
    if not secret:
        raise KeysError(f"this host has no key: make one with `nvdac keys new` ({HELP})")
    _check_key(secret, SECRET_VARIABLE if os.environ.get(SECRET_VARIABLE) else str(keys_dir() / "secret"))
    return zmq.curve_public(secret.encode()).decode(), secret


def server_key() -> str:
    """Return the public key of the camera's host.

    Raises
    ------
    KeysError
        Where it is not known here, or is not a key.
    """
    key = os.environ.get(SERVER_VARIABLE) or _read("server")
    if not key:
        raise KeysError(f"the key of the camera's host is not known here: `nvdac keys server KEY` ({HELP})")
    _check_key(key, "the key of the camera's host")
    return key


def set_server_key(key: str) -> None:
    """Keep the public key of the camera's host."""
    _check_key(key, "what was given")
    _write("server", key)


def allowed() -> dict[str, str]:
    """Return public key -> name of the hosts that are admitted.

    Raises
    ------
    KeysError
        Where the list is unsafe or a line is not `name key`.
    """
    found: dict[str, str] = {}
    for line in _read("allowed").splitlines():
        name, _, key = line.strip().partition(" ")
        _check_key(key.strip(), f"a line of {keys_dir() / 'allowed'}")
        found[key.strip()] = name
    return found


def allow(name: str, key: str) -> None:
    """Admit a host; a name may have two keys while one is replaced by the other.

    Raises
    ------
    KeysError
        Where the name or the key is none.
    """
    if not _NAME.fullmatch(name):
        raise KeysError(f"{name!r} is no name: letters, digits, dots, dashes and underscores")
    _check_key(key, "what was given")
    _write_allowed(allowed() | {key: name})


def revoke(name: str, key: str = "") -> int:
    """Admit a host no longer, or one of its keys no longer; returns how many keys went."""
    now = allowed()
    kept = {known: owner for known, owner in now.items() if owner != name or (key and known != key)}
    _write_allowed(kept)
    return len(now) - len(kept)


def allowed_stamp() -> tuple[int, int]:
    """Return what changes when the list of admitted hosts does."""
    try:
        status = (keys_dir() / "allowed").stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)


def _write_allowed(entries: dict[str, str]) -> None:
    _write("allowed", "".join(f"{name} {key}\n" for key, name in entries.items()))


def _check_key(key: str, where: str) -> None:
    if not _KEY.fullmatch(key):
        raise KeysError(f"{where} is not a key: 40 characters as `nvdac keys new` prints them")


def _write(name: str, text: str) -> None:
    """Write a file that its owner alone can read, whole or not at all."""
    folder = keys_dir()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = folder / f".{name}.{os.getpid()}"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    part.replace(folder / name)


def _read(name: str) -> str:
    """Return a file's text, empty where there is none."""
    path = keys_dir() / name
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise KeysError(f"{path} can be read or written by others (mode {mode:o}): chmod 600 it, or make new keys")
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
