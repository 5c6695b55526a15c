"""A session: the RunEngine with its devices, the durable document log, the archive, and what the live page is told."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import FrameType
from typing import Any, cast

from bluesky import RunEngine
from bluesky.run_engine import TransitionError  # pyright: ignore[reportPrivateImportUsage] - it has no public place
from bluesky.utils import Msg, ProgressBarManager, RunEngineInterrupted, SigintHandler

from deploy.errors import DeployError
from deploy.rig_file import RigFile
from deploy.signals import TERMINATIONS
from deploy.site import Site
from devices.epics import DeviceError
from devices.rig import Rig, connect_rig
from stream.archive_tiled import DocumentArchive
from stream.state import StatePublisher

Plan = Generator[Msg, Any, Any]


class SessionEngine(RunEngine):
    """A RunEngine that aborts where its process is terminated, and asks after an abort what the field shall do."""

    ask_field: Callable[[], None] | None = None
    leave: Callable[[], None] | None = None
    """Called after a termination: what else there is to leave, such as a prompt."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.termination = 0
        super().__init__(metadata, context_managers=[SigintHandler, _Termination])

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Run a plan."""
        return self._unless_terminated(lambda: RunEngine.__call__(self, *arguments, **keywords))

    def resume(self) -> Any:
        """Go on with a paused plan."""
        return self._unless_terminated(lambda: RunEngine.resume(self))

    def abort(self, reason: str = "") -> Any:
        """End the running plan as aborted: its clean-up turns microwave and laser off; then ask about the field."""
        result = super().abort(reason)
        if self.ask_field is not None:
            self.ask_field()
        return result

    def _unless_terminated(self, go: Callable[[], Any]) -> Any:
        """Run or resume; a plan that was paused by a termination is aborted, unattended, and the process leaves."""
        try:
            return go()
        except RunEngineInterrupted:
            if not self.termination:
                raise
        super().abort("terminated")
        say_hold()
        if self.leave is not None:
            self.leave()
        raise SystemExit(128 + self.termination)


class _Termination:
    """While a plan runs, a termination pauses it at once; left to itself it would end with the laser on."""

    def __init__(self, engine: SessionEngine) -> None:
        self._engine = engine
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in TERMINATIONS:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._pause)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _pause(self, number: int, _frame: FrameType | None) -> None:
        """Ask for the pause from a thread: the engine answers from its loop, which may wait for this one."""
        self._engine.termination = number
        threading.Thread(target=self._request, name="termination", daemon=True).start()

    def _request(self) -> None:
        with contextlib.suppress(TransitionError):  # it paused or ended meanwhile
            self._engine.request_pause(defer=False)


@dataclass
class Session:
    """What a person at the prompt works with."""

    site: Site
    rig_file: RigFile
    engine: SessionEngine
    rig: Rig
    archive: DocumentArchive
    publisher: StatePublisher

    def close(self) -> None:
        """Abort a plan that was left paused, hand over every document, then end the links."""
        if self.engine.state == "paused":
            self.engine.ask_field = say_hold
            self.engine.abort("the session was left")
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
        Where a device does not connect, naming its PVs.
    """
    stream = rig_file.stream_settings(site.runtime_dir, site.data_dir)
    publisher = StatePublisher(stream, "session")
    try:
        rig = connect_rig(rig_file.rig.name, rig_file.devices, stream, publisher=publisher)
    except DeviceError as error:
        publisher.close()
        raise DeployError(str(error)) from error
    archive = DocumentArchive(stream, site.tiled_uri)
    engine = SessionEngine({})
    engine.subscribe(cast("Any", archive))
    engine.ask_field = (lambda: ask_field(rig)) if interactive else say_hold
    if interactive:
        engine.waiting_hook = cast("Any", ProgressBarManager())
    return Session(site, rig_file, engine, rig, archive, publisher)


def say_hold() -> None:
    """Say what happens to the field after an unattended abort."""
    sys.stderr.write("aborted unattended: microwave and laser are off, field and temperature hold\n")


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
