"""A bench for the devices: every PV of a rig behind a real IOC, with quick dynamics and refusals on demand."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from dataclasses import dataclass

import numpy as np
from softioc import asyncio_dispatcher, builder, softioc

TICK_S = 0.02


@dataclass
class Ramp:
    """A value that follows its set point at a rate."""

    value: float
    target: float
    rate_per_s: float

    def step(self, seconds: float) -> bool:
        left = self.target - self.value
        most = self.rate_per_s * seconds
        self.value = self.target if abs(left) <= most else self.value + (most if left > 0 else -most)
        return self.value == self.target


class Bench:
    """All records and what moves them."""

    def __init__(self) -> None:
        self.field = Ramp(0.0, 0.0, 2000.0)
        self.temperature = Ramp(150.0, 150.0, 400.0)
        self.bar = Ramp(20.0, 20.0, 100.0)
        self.settled_at = 0.0
        self.microwave()
        self.magnet()
        self.cryostat()
        self.counters()
        self.rest()
        self.guard()
        for instrument in ("MW", "CRYO", "TRANSPORT", "LASER"):
            builder.longStringIn(f"{instrument}:REASON", length=256)
        # Test knobs: refuse the next field (a reason), never settle, never count.
        self.refuse = builder.stringOut("TEST:REFUSE_FIELD", initial_value="")
        self.stuck = builder.aOut("TEST:STUCK", initial_value=0)
        self.lazy = builder.aOut("TEST:NO_COUNT", initial_value=0)
        self.puts = builder.aIn("TEST:MEMBRANE_PUTS", initial_value=0)

    def microwave(self) -> None:
        self.power_rbv = builder.aIn("MW:POWER_DBM_RBV", initial_value=-30.0, EGU="dBm")
        builder.aOut("MW:POWER_DBM", initial_value=-30.0, EGU="dBm", on_update=self.power_rbv.set, blocking=True)
        self.enable_rbv = builder.longIn("MW:ENABLE_RBV", initial_value=0)
        builder.longOut("MW:ENABLE", initial_value=0, on_update=self.enable_rbv.set, blocking=True)
        self.list_count = builder.longIn("MW:LIST_COUNT_RBV", initial_value=0)
        builder.WaveformOut(
            "MW:LIST_MHZ", [0.0], length=2048, on_update=lambda v: self.list_count.set(len(v)), blocking=True
        )
        builder.aIn("MW:FREQUENCY_MHZ_RBV", initial_value=2870.0, EGU="MHz")

    def magnet(self) -> None:
        self.field_set = builder.aOut(
            "MAG:FIELD_Z_GAUSS", initial_value=0.0, EGU="G", on_update=self.put_field, blocking=True
        )
        self.field_rbv = builder.aIn("MAG:FIELD_Z_GAUSS_RBV", initial_value=0.0, EGU="G")
        self.field_x_rbv = builder.aIn("MAG:FIELD_X_GAUSS_RBV", initial_value=0.0, EGU="G")
        builder.aOut("MAG:FIELD_X_GAUSS", initial_value=0.0, EGU="G", on_update=self.field_x_rbv.set, blocking=True)
        builder.aOut("MAG:RATE_GAUSS_PER_S", initial_value=24.0)
        self.done = builder.longIn("MAG:DONE", initial_value=1)
        self.current = builder.aIn("MAG:CURRENT_A_RBV", initial_value=0.0, EGU="A")
        self.reason = builder.stringIn("MAG:REASON", initial_value="")

    def put_field(self, value: float) -> None:
        reason = self.refuse.get()
        self.reason.set(reason)
        if reason:
            self.field_set.set(self.field.target, process=False)
            return
        self.field.target = value
        self.done.set(int(self.field.value == value))

    def cryostat(self) -> None:
        builder.aOut("CRYO:TEMPERATURE_K", initial_value=150.0, EGU="K", on_update=self.put_temperature, blocking=True)
        self.ramp_rbv = builder.aIn("CRYO:TEMPERATURE_K_RBV", initial_value=150.0, EGU="K")
        self.stage = builder.aIn("CRYO:STAGE_K_RBV", initial_value=150.0, EGU="K")
        self.sample = builder.aIn("CRYO:SAMPLE_K_RBV", initial_value=150.5, EGU="K")
        builder.aOut("CRYO:RATE_K_PER_MIN", initial_value=3.0)
        builder.aIn("CRYO:DRIFT_K_PER_MIN_RBV", initial_value=0.0)
        self.settled = builder.longIn("CRYO:SETTLED", initial_value=1)

    def put_temperature(self, value: float) -> None:
        if value != self.temperature.target:
            self.settled.set(0)
            self.settled_at = time.monotonic() + 1e9
        self.temperature.target = value

    def counters(self) -> None:
        self.resistance = builder.aIn("TRANSPORT:RESISTANCE_OHM_RBV", initial_value=0.0, EGU="Ohm")
        builder.aIn("TRANSPORT:SIGMA_OHM_RBV", initial_value=1e-4, EGU="Ohm")
        self.phase = builder.aIn("TRANSPORT:PHASE_DEG_RBV", initial_value=0.1)
        builder.aOut("TEST:PHASE_DEG", initial_value=0.1, on_update=self.phase.set, blocking=True)
        builder.longOut("TRANSPORT:MODE", initial_value=0, blocking=True)
        self.contacts = builder.WaveformIn("TRANSPORT:CONTACTS_OHM_RBV", [math.nan] * 4)
        self.contacts_count = builder.longIn("TRANSPORT:CONTACTS_COUNT_RBV", initial_value=0)
        self.third_ohm = builder.aOut("TEST:THIRD_CONTACT_OHM", initial_value=17.0)
        self.check = builder.longOut("TRANSPORT:CHECK_CONTACTS", initial_value=0, on_update=self.put_check)
        self.current_ua = builder.aIn("TRANSPORT:CURRENT_UA_RBV", initial_value=10.0)
        builder.aOut("TRANSPORT:CURRENT_UA", initial_value=10.0, on_update=self.current_ua.set, blocking=True)
        self.count = builder.longIn("TRANSPORT:COUNT_RBV", initial_value=0)
        self.measure = builder.longOut("TRANSPORT:MEASURE", initial_value=0, on_update=self.put_measure)
        self.ruby_count = builder.longIn("RUBY:COUNT_RBV", initial_value=0)
        self.acquire = builder.longOut("RUBY:ACQUIRE", initial_value=0, on_update=self.put_acquire)
        builder.aIn("TEST:RUBY_K", initial_value=150.0, EGU="K")
        # 21 GPa by Ruby2020 at 150 K, R2 beside it.
        axis = np.linspace(690.0, 712.0, 400)
        lines = [height / (1.0 + ((axis - at) / 0.35) ** 2) for at, height in ((700.854, 900.0), (699.404, 450.0))]
        builder.WaveformIn("RUBY:WAVELENGTH_NM", axis)
        builder.WaveformIn("RUBY:SPECTRUM", 20.0 + lines[0] + lines[1])
        builder.aIn("RUBY:R1_NM_RBV", initial_value=701.0, EGU="nm")
        builder.aIn("RUBY:PRESSURE_GPA_RBV", initial_value=21.0, EGU="GPa")

    async def put_measure(self, value: int) -> None:
        if value and not self.lazy.get():
            await asyncio.sleep(0.05)
            self.resistance.set(0.5 + 0.01 * self.temperature.value)
            self.count.set(self.count.get() + 1)
            self.measure.set(0)

    async def put_check(self, value: int) -> None:
        if value:
            self.contacts.set(np.array([14.0, 11.0, self.third_ohm.get(), 12.0]))
            self.contacts_count.set(self.contacts_count.get() + 1)
            self.check.set(0)

    async def put_acquire(self, value: int) -> None:
        if value:
            await asyncio.sleep(0.05)
            self.ruby_count.set(self.ruby_count.get() + 1)
            self.acquire.set(0)

    def rest(self) -> None:
        builder.aOut("DAC:MEMBRANE_BAR", initial_value=20.0, EGU="bar", on_update=self.put_bar, blocking=True)
        self.bar_rbv = builder.aIn("DAC:MEMBRANE_BAR_RBV", initial_value=20.0, EGU="bar")
        builder.longIn("DAC:LOAD_INDEX_RBV", initial_value=3)
        self.bar_done = builder.longIn("DAC:DONE", initial_value=1)
        self.bar_reason = builder.stringIn("DAC:REASON", initial_value="")
        self.laser_rbv = builder.aIn("LASER:POWER_MW_RBV", initial_value=50.0, EGU="mW")
        builder.aOut("LASER:POWER_MW", initial_value=50.0, EGU="mW", on_update=self.laser_rbv.set, blocking=True)
        self.shutter_rbv = builder.longIn("LASER:SHUTTER_RBV", initial_value=0)
        builder.longOut("LASER:SHUTTER", initial_value=0, on_update=self.shutter_rbv.set, blocking=True)

    def guard(self) -> None:
        """A guard that permits everything, with a lease that the test takes away."""
        builder.longOut("GUARD:LEASE_HELD", initial_value=1, blocking=True)
        builder.longOut("GUARD:LEASES_LOST", initial_value=0, blocking=True)
        for name in ("LEASE", "ASK", "ZERO_FIELD_COOL"):
            builder.longOut(f"GUARD:{name}", initial_value=0, blocking=True)
        for name in ("FIELD_MAX_GAUSS", "TEMPERATURE_MAX_K"):
            builder.aOut(f"GUARD:{name}", initial_value=0.0)
        builder.stringIn("GUARD:HISTORY", initial_value="ZFC_FW")
        instruments = ("LASER", "MICROWAVE", "MAGNET", "CRYOSTAT", "PRESSURE", "TRANSPORT")
        texts = ("HISTORY_REASON", "FAULTS", "LATCHED", "ACKNOWLEDGE", "ACKNOWLEDGE_REASON")
        for name in (*texts, *(f"{instrument}:REASON" for instrument in instruments)):
            builder.longStringOut(f"GUARD:{name}", length=256, initial_value="", blocking=True)

    def put_bar(self, value: float) -> None:
        self.puts.set(self.puts.get() + 1)
        jump = value - self.bar.value > 50.0
        self.bar_reason.set("a jump of more than 50 bar" if jump else "")
        if not jump:
            self.bar.target = value
            self.bar_done.set(int(self.bar.value == value))

    async def move(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            seconds, last = now - last, now
            self.tick(seconds, now)

    def tick(self, seconds: float, now: float) -> None:
        if self.stuck.get():
            return
        there = self.field.step(seconds)
        self.field_rbv.set(self.field.value)
        self.current.set(self.field.value / 24.0)
        if there and not self.done.get():
            self.done.set(1)
        if self.bar.step(seconds) and not self.bar_done.get():
            self.bar_done.set(1)
        self.bar_rbv.set(self.bar.value)
        arrived = self.temperature.step(seconds)
        for record, offset in ((self.ramp_rbv, 0.0), (self.stage, 0.0), (self.sample, 0.5)):
            record.set(self.temperature.value + offset)
        if not arrived:
            self.settled_at = now + 0.05
        elif not self.settled.get():
            self.settled_at = min(self.settled_at, now + 0.05)
            if now >= self.settled_at:
                self.settled.set(1)


def main() -> None:
    dispatcher = asyncio_dispatcher.AsyncioDispatcher()
    builder.SetDeviceName(sys.argv[1].rstrip(":"))
    bench = Bench()
    builder.LoadDatabase()
    softioc.iocInit(dispatcher)
    dispatcher(bench.move)
    print("bench ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
