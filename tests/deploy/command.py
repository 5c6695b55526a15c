"""The command line as a real process, and what it must never leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

NVDAC = (sys.executable, "-m", "deploy.cli")


def environment(runtime: Path) -> dict[str, str]:
    """Return the variables of a user who has set nothing, with a runtime folder of the test's own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("NVDAC_", "EPICS_", "TILED_", "CI"))}
    return {**kept, "XDG_RUNTIME_DIR": str(runtime), "PYTHONUNBUFFERED": "1", "COLUMNS": "100"}


class User:
    """Somebody at a terminal: a working folder, and a runtime folder that nobody else uses."""

    def __init__(self, runtime: Path, folder: Path) -> None:
        self.runtime = runtime
        self.folder = folder
        self.environment = environment(runtime)

    def run(self, *arguments: object, prefix: tuple[str, ...] = (), timeout_s: float = 120.0, **variables: str) -> Any:
        """Run `nvdac ARGUMENTS` to its end."""
        return subprocess.run(
            [*prefix, *NVDAC, *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[str]:
        """Start `nvdac ARGUMENTS`."""
        return subprocess.Popen(
            [*NVDAC, *map(str, arguments)], cwd=self.folder, env=self.environment, text=True, **options
        )

    @contextmanager
    def here(self) -> Iterator[None]:
        """Give this process the user's runtime folder, for calls that need no process of their own."""
        with mock.patch.dict(os.environ, {"XDG_RUNTIME_DIR": str(self.runtime)}):
            yield

    def processes(self) -> list[str]:
        """Return the command lines of all processes that work in the runtime folder."""
        found: list[str] = []
        for process in psutil.process_iter():
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if f"{self.runtime}/" in line:
                found.append(line)
        return found

    def sites(self) -> list[str]:
        """Return the names of what is in the folder of sites."""
        root = self.runtime / "nvdac"
        return sorted(path.name for path in root.iterdir()) if root.exists() else []

    def assert_nothing_left(self) -> None:
        """Hold that no site and no process is there."""
        assert self.sites() == []
        assert self.processes() == []


def one_line(result: Any, *says: str, code: int = 1) -> str:
    """Hold that a command refused in one clear line, and return the line."""
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("nvdac: ")
    for text in says:
        assert text in lines[0]
    return lines[0]


def until(condition: Callable[[], Any], timeout_s: float, what: str = "", also: Callable[[], str] = str) -> Any:
    """Return what `condition` returns as soon as that is true."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"timed out after {timeout_s:g} s: {what} {also()}")


def is_running(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
