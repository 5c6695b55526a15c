"""The guard: `python -m devices.ioc.guard SETTINGS.json`. Interlocks that hold when the plan's process is dead.

It owns the session's lease, the history ledger, and one PERMIT and one REASON per instrument, as PVs on its own Channel
Access port. Instruments whose IOC obeys PERMIT refuse what it does not permit; all others it watches, and writes the
safe set point. Nothing it does depends on a plan, and nothing restarts by itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devices.channel_access import quiet_repeater
from devices.ioc.anvil import AnvilWatch, Frame, listen
from devices.ioc.call import Caller
from devices.ioc.history import HistoryRules, Record, fold, verdict
from devices.ioc.interlocks import (
    Fault,
    Situation,
    acknowledgement_refusal,
    anvil_fault,
    corrections,
    faults_now,
    held_after,
    latched_faults,
    lease_fault,
    permits,
)
from devices.ioc.lease import Lease
from devices.ioc.ledger import MEMORY, Ledger, LedgerError
from devices.ioc.memory import Memory
from devices.ioc.watcher import Watcher, watched_pvs
from devices.processes import GuardProcess
from devices.twin.loopback import keep_to_loopback
from stream.health import clear_ready, mark_ready
from stream.messages import FieldHistory, Severity
from stream.settings import load_settings
from stream.state import StatePublisher

NAME = "guard"
TICK_S = 0.1
"""Interval of the interlocks and of the ledger, s."""
BEAT_S = 1.0
"""Longest time between two records of the ledger, s."""
AGAIN_S = 0.5
"""Time after which a correction that was not followed is put again, s."""

log = logging.getLogger(NAME)


class Guard:
    """The interlocks and the ledger of one rig, in one loop.

    Parameters
    ----------
    process
        Its settings.
    ledger
        The open ledger.
    watcher
        What it sees.
    publisher
        For the events that viewers see.
    """

    def __init__(self, process: GuardProcess, ledger: Ledger, watcher: Watcher, publisher: StatePublisher) -> None:
        self._process = process
        self._rules = process.guard
        self._ledger = ledger
        self._watcher = watcher
        self._publisher = publisher
        self._caller = Caller(process.guard.call)
        self._anvil = AnvilWatch(process.guard.anvil)
        before = Memory.from_text(ledger.memory)
        now = time.monotonic()
        self._lease = Lease(process.guard.lease_s, now, now + process.guard.restart_grace_s if before.lease else None)
        self._remembered = before
        self._cool = before.cool
        self._was_cold = before.cool and not ledger.state.normal
        self._latched: dict[str, Fault] = dict(before.latched)
        self._faults: dict[str, Fault] = dict(before.latched)
        self._held: dict[str, float] = {}
        self._put_at: dict[str, float] = {}
        self._ledger_fault = ""
        self._leases_lost = 0
        self._beaten = 0.0
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.records: Any = None

    # ---- what is put to it

    async def take_lease(self, counter: int) -> None:
        """Take a value of the session's counter."""
        self._lease.beat(counter, time.monotonic())
        if not self._remembered.lease or counter == 0:
            self.judge()

    async def answer(self, _value: int) -> None:
        """Bring the ledger up to date with readings of this moment."""
        await self._watcher.refresh()
        await self.record()

    async def begin_cool(self, value: int) -> None:
        """Begin or end a zero-field cool; it begins without a field and in the normal state only, as of this moment."""
        if value:
            await self.answer(value)  # the field may have gone off since the last record
        state, rules = self._ledger.state, self._ledger.rules
        ready = state.normal and abs(state.field_z_gauss or 0.0) < rules.field_free_gauss
        self._cool = bool(value) and (ready or self._cool)
        self._was_cold = False
        self.judge()

    async def acknowledge(self, text: str) -> str:
        """Let go of a latched fault that has passed: a person has looked. Returns why not, empty where it was done."""
        try:
            asked = dict(json.loads(text))
        except (ValueError, TypeError):
            return "an acknowledgement is JSON with fault, by and reason; `nvdac guard acknowledge` makes it"
        why = acknowledgement_refusal(asked, self._latched, faults_now(self._situation(), self._rules))
        if why:
            return why
        name = str(asked["fault"]).strip()
        self._latched = {key: fault for key, fault in self._latched.items() if key != name}
        self._note(f"{name} acknowledged by {asked['by']}: {asked['reason']}")
        self.judge()
        await self.record()  # it is on the disk before anybody is told
        return ""

    def suspect(self, what: str) -> None:
        """Take an anvil for broken; empty does nothing."""
        if what:
            self._latched = {**self._latched, "anvil": anvil_fault(what)}

    def see_ruby(self) -> None:
        """Look at the newest ruby spectrum."""
        count, gpa = (self._watcher.values.get(name) for name in ("ruby_count", "ruby_gpa"))
        if count and gpa is not None:
            self.suspect(self._anvil.ruby(count, gpa))

    def see_stress(self, field_gauss: float, gpa: float, coverage: float) -> None:
        """Look at the mean sigma_ZZ of a final map."""
        self.suspect(self._anvil.stress(field_gauss, gpa, coverage))

    def see_light(self, frame: Frame) -> None:
        """Look at the light of a frame."""
        values = self._watcher.values
        self.suspect(self._anvil.light(frame, values.get("shutter", 0.0), values.get("laser_mw", 0.0)))

    # ---- the loop

    async def run(self, stopped: asyncio.Event) -> None:
        """Judge and record until told to stop."""
        recorder = asyncio.create_task(self._record_until(stopped))
        while not stopped.is_set():
            self.judge()
            await _pause(stopped, TICK_S)
        await recorder

    async def _record_until(self, stopped: asyncio.Event) -> None:
        while not stopped.is_set():
            await self.record()
            await _pause(stopped, TICK_S)

    def judge(self) -> None:
        """Judge the readings of this moment: permits, faults, corrections."""
        self.see_ruby()
        now = self._situation()
        present = faults_now(now, self._rules)
        if self._ledger_fault:
            present["ledger"] = Fault(self._ledger_fault, {}, critical=True)
        self._latched = latched_faults(self._latched, present)
        faults = {**self._latched, **present}
        self._tell(faults)
        lease = lease_fault(now, self._rules)
        self._remember(Memory(lease is None, self._cool, self._latched))
        everything = faults if lease is None else {**faults, "lease": lease}
        given = permits(now, everything, self._rules, self._process.devices)
        if self.records is not None:
            text = "; ".join(fault.text for fault in faults.values())
            latched = ", ".join(sorted(self._latched))
            self.records.show_permits(given, text, latched, held=lease is None, lost=self._leases_lost, cool=self._cool)
        self._held = held_after(now, given, self._held)
        puts = corrections(now, everything, given, self._held)
        for name, value in puts.items():
            self._correct(name, value)

    async def record(self) -> None:
        """Bring what was read since the last time to the disk, and say what the ledger says."""
        async with self._writing:
            records = self._watcher.taken()
            now = time.time()
            if not records and now - self._beaten >= BEAT_S:
                records = [Record(now, "beat")]
            if records:
                self._beaten = now
                try:
                    await asyncio.to_thread(self._ledger.append, records)
                    self._ledger_fault = ""
                except LedgerError as error:
                    self._ledger_fault = str(error)
                    self._ledger.state = fold([Record(now, "break", text=str(error))], self._ledger.rules)
        self._end_cool()
        if self.records is not None:
            self.records.show_verdict(verdict(self._ledger.state, self._ledger.rules))

    def _end_cool(self) -> None:
        """End a zero-field cool that has warmed up again."""
        normal = self._ledger.state.normal
        self._was_cold = self._was_cold or not normal
        if self._cool and normal and self._was_cold:
            self._cool = self._was_cold = False

    def _situation(self) -> Situation:
        return Situation(
            values=self._watcher.values,
            lost=frozenset(self._watcher.lost),
            silent=self._watcher.silent(),
            lease_ended_s=self._lease.ended_s(time.monotonic()),
            zero_field_cool=self._cool,
            latched=self._latched,
        )

    # ---- what it does

    def _correct(self, name: str, value: float) -> None:
        """Put a safe value, unless that is under way."""
        pv = self._watcher.pvs.put.get(name)
        now = time.monotonic()
        if pv is None or now - self._put_at.get(name, 0.0) < AGAIN_S:
            return
        self._put_at[name] = now
        self._note(f"{pv} put to {value:g}")
        task = asyncio.get_running_loop().create_task(_put(pv, value))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, faults: Mapping[str, Fault]) -> None:
        """Say what began and what passed; an input that is awaited after the start permits nothing, but is no news."""
        awaited = self._watcher.awaited()
        faults = {name: fault for name, fault in faults.items() if name not in awaited}
        for name, fault in faults.items():
            if name not in self._faults:
                self._note(fault.text, Severity.MAJOR, about=name)
                if name == "mains":
                    self._watcher.add(Record(time.time(), "break", name, text=fault.text))
                if fault.critical:
                    self._caller.call(self._process.rig, fault.text)
        for name, fault in self._faults.items():
            if name not in faults:
                self._note(fault.over or f"passed: {fault.text}", about=name)
        self._faults = dict(faults)

    def _remember(self, now: Memory) -> None:
        """Keep what a restart must not forget."""
        before = self._remembered
        if now == before:
            return
        self._remembered = now
        self._watcher.add(Record(time.time(), "event", MEMORY, text=now.to_text()))
        if now.lease != before.lease:
            self._leases_lost += not now.lease
            self._note("a session holds the lease" if now.lease else "the session's lease has ended")
        if now.cool != before.cool:
            self._note("a zero-field cool begins" if now.cool else "the zero-field cool is over")

    def _note(self, text: str, severity: Severity = Severity.NO_ALARM, about: str = "") -> None:
        """Add an event to the ledger, the log and the page."""
        self._watcher.add(Record(time.time(), "event", text=text))
        self._publisher.event(severity, f"guard: {text}", about)
        log.info("%s", text)


async def _put(pv: str, value: float) -> None:
    import aioca

    try:
        await aioca.caput(pv, value, timeout=2.0)
    except aioca.CANothing as error:
        log.error("%s could not be put to %g: %s", pv, value, error)


async def _pause(stopped: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopped.wait(), seconds)
    except TimeoutError:
        return


async def serve(process: GuardProcess, ledger: Ledger, publisher: StatePublisher) -> None:
    """Serve the guard's PVs until SIGTERM or SIGINT."""
    # softioc loads EPICS on import, after which the environment no longer counts.
    from softioc import asyncio_dispatcher, builder, softioc

    from devices.ioc.guard_records import GuardRecords

    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    watcher = Watcher(watched_pvs(process.devices, process.guard.inputs))
    guard = Guard(process, ledger, watcher, publisher)
    records = GuardRecords(process.devices.prefix, guard.take_lease, guard.answer, guard.begin_cool, guard.acknowledge)
    builder.LoadDatabase()
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher(loop=loop), enable_pva=False)
    guard.records = records
    watcher.start()
    guard.judge()
    ended = threading.Event()
    listener = listen(
        process.stream,
        process.offset_counts,
        ended,
        lambda *report: loop.call_soon_threadsafe(guard.see_stress, *report),
        lambda frame: loop.call_soon_threadsafe(guard.see_light, frame),
    )
    mark_ready(process.stream, NAME)
    log.info("the guard watches %d PVs, its ledger says %s", len(watcher.pvs.read), verdict_name(ledger))
    await guard.run(stopped)
    ended.set()
    await asyncio.to_thread(listener.join, 2.0)


def verdict_name(ledger: Ledger) -> FieldHistory:
    """Return the name of the history."""
    return verdict(ledger.state, ledger.rules).history


def main(arguments: list[str]) -> int:
    """Run the process with its settings file as the only argument."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    process = load_settings(GuardProcess, arguments[0])
    clear_ready(process.stream, NAME)
    keep_to_loopback()
    os.environ["EPICS_CAS_SERVER_PORT"] = str(process.ca_port)
    quiet_repeater()
    settings = process.guard
    rules = HistoryRules(
        settings.normal_above_k, settings.field_free_gauss, settings.field_tolerance_gauss, settings.gap_s
    )
    folder = Path(settings.ledger_dir or Path(process.stream.data_dir) / "ledger")
    try:
        ledger = Ledger(folder, rules)
    except LedgerError as error:
        log.error("%s", error)
        return 1
    try:
        with StatePublisher(process.stream, NAME) as publisher:
            asyncio.run(serve(process, ledger, publisher))
    finally:
        ledger.close()
        clear_ready(process.stream, NAME)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
