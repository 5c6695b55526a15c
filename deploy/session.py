"""A session: the RunEngine with its devices, the durable document log, the archive, and what the live page is told."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from bluesky import RunEngine
from bluesky.utils import Msg, ProgressBarManager

from deploy.environment import enter_environment
from deploy.progress import SessionPublisher
from deploy.rig_file import RigFile
from deploy.site import Site
from devices.rig import Rig, connect
from stream.archive_tiled import DocumentArchive

LOGGER = logging.getLogger(__name__)
Plan = Generator[Msg, Any, Any]


class SessionEngine(RunEngine):
    """A RunEngine that, after an abort, asks what the field shall do; unattended it holds."""

    ask_field: Callable[[], None] | None = None

    def abort(self, reason: str = "") -> Any:
        """End the running plan as aborted: its clean-up turns microwave and laser off; then ask about the field."""
        result = super().abort(reason)
        if self.ask_field is not None:
            self.ask_field()
        return result


@dataclass
class Session:
    """What a person at the prompt works with."""

    site: Site
    rig_file: RigFile
    engine: SessionEngine
    rig: Rig
    archive: DocumentArchive
    publisher: SessionPublisher

    def close(self) -> None:
        """Hand over every document, then end the links."""
        self.archive.close()
        self.publisher.close()
        self.rig.close()

    def __enter__(self) -> Session:
        """Return the session itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()


def open_session(site: Site, rig_file: RigFile, *, interactive: bool, progress_bar: bool = True) -> Session:
    """Connect the devices of a running site and make the RunEngine.

    Parameters
    ----------
    interactive
        A person is there to be asked what the field shall do after an abort.
    progress_bar
        Show a progress bar while the plan waits.

    Raises
    ------
    devices.rig.RigError
        Where a device does not connect.
    """
    enter_environment(site)
    stream = rig_file.stream_settings(site.runtime_dir, site.data_dir)
    publisher = SessionPublisher(stream)
    archive = DocumentArchive(stream, site.tiled_uri)
    rig = connect(rig_file.devices, stream)
    engine = SessionEngine({"rig": rig_file.rig.name})
    engine.subscribe(archive)
    engine.subscribe(publisher)
    engine.ask_field = (lambda: ask_field(rig)) if interactive else (lambda: LOGGER.warning("field and temperature hold"))
    if progress_bar:
        engine.waiting_hook = ProgressBarManager()
    return Session(site, rig_file, engine, rig, archive, publisher)


def ask_field(rig: Rig) -> None:
    """Ask whether the field shall hold or be ramped to zero; no answer means hold.

    Ramping it down below Tc ends a zero-field-cooled history for ever.
    """
    if rig.magnet is None or not sys.stdin.isatty():
        return
    answer = input("Microwave and laser are off. Field: [h]old (default) or [r]amp to zero? ").strip().lower()
    if answer.startswith("r"):
        sys.stdout.write("ramping the field to zero; the history ends here\n")
        rig.magnet.set(0.0).wait(timeout=rig.magnet.timeout_s)
