"""Ready marks: an empty file per process that is ready to serve, for the process manager."""

from __future__ import annotations

from pathlib import Path

from stream.settings import StreamSettings


def ready_path(settings: StreamSettings, name: str) -> Path:
    """Return the file that says that process `name` is ready."""
    return Path(settings.runtime_dir) / "ready" / name


def mark_ready(settings: StreamSettings, name: str) -> None:
    """Say that process `name` serves from now on."""
    target = ready_path(settings, name)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target.touch(mode=0o600)


def clear_ready(settings: StreamSettings, name: str) -> None:
    """Say that process `name` does not serve (yet): called first thing at its start and last thing at its end."""
    ready_path(settings, name).unlink(missing_ok=True)
