"""A session: the RunEngine with its devices, the durable document log, the archive, and what the live page is told."""

from __future__ import annotations

import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bluesky.utils import Msg, ProgressBar, ProgressBarManager

from deploy.control import ControlListener
from deploy.engine import SessionEngine, say_hold
from deploy.errors import DeployError
from deploy.rig_file import RigFile
from deploy.setup_files import load_setup, naming
from deploy.site import Site
from devices.epics import DeviceError
from devices.lease import LeaseKeeper
from devices.rig import Rig, connect_rig
from plans.settings import PreconditionError
from stream.archive_tiled import DocumentArchive
from stream.state import StatePublisher

Plan = Generator[Msg, Any, Any]


class Bars(ProgressBar):
    """The bars of what tells how far it is; what only tells that it is under way has none."""

    def update(self, pos: int, **facts: Any) -> None:
        """Take a step of a status that is watched."""
        if all(facts.get(name) is not None for name in ("current", "initial", "target")):
            super().update(pos, **facts)

    def draw(self) -> None:
        """Draw the bars that there are."""
        with self.lock:
            every = self.meters
            self.meters = [meter for meter in every if meter]
            try:
                super().draw()
            finally:
                self.meters = every


class _ProgressBars(ProgressBarManager):
    """Progress bars of whatever is waited for; that of a wait which an abort cut short makes room without a warning."""

    def __call__(self, status_objs_or_none: Any) -> None:
        """Show a wait, or the end of one (None)."""
        if self.pbar is not None:
            self.pbar.clear()
            self.pbar = None
        if status_objs_or_none is not None:
            self.pbar = self.pbar_factory(status_objs_or_none)


@dataclass
class Session:
    """What a person at the prompt works with."""

    site: Site
    rig_file: RigFile
    engine: SessionEngine
    rig: Rig
    archive: DocumentArchive
    publisher: StatePublisher
    control: ControlListener
    lease: LeaseKeeper | None = None

    def close(self) -> None:
        """Abort a plan that was left paused, hand over every document, then end the links."""
        if self.engine.state == "paused":
            self.engine.ask_field = say_hold
            self.engine.abort("the session was left")
        self.control.close()
        if self.lease is not None:
            self.lease.close()
        self.archive.close()
        self.rig.close()
        self.publisher.close()

    def __enter__(self) -> Session:
        """Return the session itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()


def open_session(site: Site, rig_file: RigFile, *, interactive: bool) -> Session:
    """Connect the devices of a running site and make the RunEngine; call `enter_environment` before importing this.

    Parameters
    ----------
    interactive
        A person is there: show a progress bar, and ask what the field shall do after an abort.

    Raises
    ------
    DeployError
        Where a device does not connect, naming its PVs, or a file of `[setup]` is missing or not valid.
    """
    load_setup(Path(site.rig_file), rig_file)
    stream = rig_file.stream_settings(site.runtime_dir, site.data_dir)
    publisher = StatePublisher(stream, "session")
    rig: Rig | None = None
    try:
        rig = connect_rig(rig_file.rig.name, rig_file.devices, stream, publisher=publisher)
        lease = None if rig.guard is None else LeaseKeeper(rig.guard)
        if lease is not None:
            lease.start()
    except DeviceError as error:
        if rig is not None:
            rig.close()
        publisher.close()
        raise DeployError(str(error)) from error
    archive = DocumentArchive(stream, site.tiled_uri)
    engine = SessionEngine()
    # read anew at each start: a load is told by changing its file
    engine.md_normalizer = naming(Path(site.rig_file), rig_file, PreconditionError)
    engine.subscribe(cast("Any", archive))
    engine.ask_field = (lambda: ask_field(rig)) if interactive else say_hold
    if interactive:
        engine.waiting_hook = cast("Any", _ProgressBars(Bars))
    control = ControlListener(engine, rig.control, publisher, allowed=site.allow_control)
    control.start()
    return Session(site, rig_file, engine, rig, archive, publisher, control, lease)


def ask_field(rig: Rig) -> None:
    """Ask whether the field shall hold or be ramped to zero; no answer means hold.

    Ramping it down below Tc ends a zero-field-cooled history for ever.
    """
    if rig.magnet is None or not sys.stdin.isatty():
        say_hold()
        return
    answer = input("Microwave and laser are off. Field: [h]old (default) or [r]amp to zero? ").strip().lower()
    if answer.startswith("r"):
        sys.stdout.write("ramping the field to zero; the history ends here\n")
        rig.magnet.set(0.0).wait(timeout=rig.magnet.settings.timeout_s)
