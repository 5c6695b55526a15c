"""The twin's PVs: which record shows what, and what a put does. Import after the EPICS environment is set.

A put completes when the simulated instrument has taken it and every PV shows the consequence: DONE and SETTLED are 0
before the put returns wherever there is a way to go, and REASON says why where it was refused (empty otherwise).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
from softioc import alarm, builder

from devices.ioc.permit import Asked
from devices.twin.fault_records import fault_records
from devices.twin.rig import GAUSS_PER_AMPERE, TwinRig
from devices.twin.spectrometer import WAVELENGTH_NM

LIST_LENGTH = 2048
"""Most frequencies of a list."""
STATE_LENGTH = 8192
"""Longest state, characters."""

Taken = Callable[[float], str]
Permit = Callable[[float], Awaitable[str]]


class TwinRecords:
    """Every record of the twin, bound to a rig.

    Parameters
    ----------
    rig
        The simulated instruments.
    prefix
        Prefix of the PVs.
    catch_up
        Called before each put, to bring the simulated clock to now.
    guard
        Asked before a put that switches on or moves something is taken.
    """

    def __init__(self, rig: TwinRig, prefix: str, catch_up: Callable[[], None], guard: Asked) -> None:
        self.speed = rig.settings.speed
        self._rig = rig
        self._prefix = prefix
        self._catch_up = catch_up
        self._guard = guard
        self._shown: dict[str, Any] = {}
        self._counts = {"transport": 0, "contacts": 0, "ruby": 0}
        self._microwave()
        self._magnet()
        self._cryostat()
        self._transport()
        self._pressure()
        self._ruby()
        self._laser()
        self._twin()

    def _number(self, name: str, unit: str, precision: int = 3) -> Any:
        return builder.aIn(self._prefix + name, EGU=unit, PREC=precision, initial_value=0.0)

    def _integer(self, name: str, value: int = 0) -> Any:
        return builder.longIn(self._prefix + name, initial_value=value)

    def _setting(
        self, name: str, unit: str, value: float, take: Taken, reason: Any = None, permit: Permit | None = None
    ) -> Any:
        """Make a settable number; a refused put is shown in `reason` and the old value comes back."""
        taken = [value]

        async def put(asked: float) -> None:
            why = "" if permit is None else await permit(asked)
            self._catch_up()
            why = why or take(asked)
            if reason is not None:
                reason.set(why)
            if why:
                record.set(taken[0], process=False)
            else:
                taken[0] = asked
            self.show()

        record = builder.aOut(
            self._prefix + name,
            EGU=unit,
            PREC=3,
            initial_value=value,
            on_update=put,
            always_update=True,
            blocking=True,
        )
        return record

    def _switch(self, name: str, take: Taken, reason: Any, instrument: str) -> Any:
        """Make a settable 0 or 1; a refused put is shown in `reason` and 0 comes back."""

        async def put(asked: int) -> None:
            why = await self._guard.refusal(instrument, asked)
            self._catch_up()
            why = why or take(1 if asked else 0)
            reason.set(why)
            if why:
                record.set(0, process=False)
            self.show()

        record = builder.longOut(
            self._prefix + name, initial_value=0, on_update=put, always_update=True, blocking=True, DRVL=0, DRVH=1
        )
        return record

    def _moving(self, instrument: str, under_way: Callable[[], tuple[float, float]]) -> Permit:
        """Return what asks the guard whether a set point may be put."""

        async def ask(asked: float) -> str:
            return await self._guard.refusal(instrument, asked, under_way())

        return ask

    def _changing(self, instrument: str, *, off_at_zero: bool = True) -> Permit:
        """Return what asks the guard whether a setting may be changed."""

        async def ask(asked: float) -> str:
            return await self._guard.refusal(instrument, asked, off_at_zero=off_at_zero)

        return ask

    def _rate(self, instrument: str) -> Permit:
        """Return what asks the guard whether a ramp rate may be put."""

        async def ask(asked: float) -> str:
            return await self._guard.rate_refusal(instrument, asked)

        return ask

    def _reason(self, instrument: str) -> Any:
        """Make the text that says why the last put to an instrument was refused."""
        return builder.longStringIn(f"{self._prefix}{instrument}:REASON", length=256)

    def _output(self, name: str, lowest: float, highest: float, unit: str = "") -> Taken:
        """Return a taker that changes an output of the rig within limits."""

        def take(value: float) -> str:
            if not lowest <= value <= highest:
                return f"{value:g}{unit} is outside {lowest:g} to {highest:g}{unit}"
            return self._rig.set_output(name, value)

        return take

    def _microwave(self) -> None:
        rig = self._rig
        reason = self._reason("MW")
        power = self._output("microwave_power_dbm", -100, 20, " dBm")
        permit = self._changing("microwave", off_at_zero=False)
        self._setting("MW:POWER_DBM", "dBm", rig.microwave_power_dbm, power, reason, permit)
        self._switch("MW:ENABLE", self._output("microwave_enable", 0, 1), reason, "microwave")
        self.power = self._number("MW:POWER_DBM_RBV", "dBm")
        self.enable = self._integer("MW:ENABLE_RBV")
        self.list_count = self._integer("MW:LIST_COUNT_RBV")
        self.frequency = self._number("MW:FREQUENCY_MHZ_RBV", "MHz", 4)

        def take(values: Sequence[float]) -> None:
            self._catch_up()
            rig.frequency_mhz = tuple(float(v) for v in values)
            self.show()

        self.list = builder.WaveformOut(
            self._prefix + "MW:LIST_MHZ",
            length=LIST_LENGTH,
            datatype=float,
            on_update=take,
            always_update=True,
            blocking=True,
        )

    def _magnet(self) -> None:
        rig = self._rig
        self.field_reason = self._reason("MAG")
        for axis in ("z", "x"):
            name = f"MAG:FIELD_{axis.upper()}_GAUSS"
            permit = self._moving("magnet", lambda axis=axis: (rig.field[axis], rig.coils.target[axis]))
            self._setting(name, "G", 0.0, lambda v, axis=axis: rig.set_field_gauss(axis, v), self.field_reason, permit)
        rate = rig.coils.rate_gauss_per_s
        permit = self._rate("magnet")
        self._setting("MAG:RATE_GAUSS_PER_S", "G/s", rate, rig.set_field_rate, self.field_reason, permit)
        self.field_z = self._number("MAG:FIELD_Z_GAUSS_RBV", "G", 4)
        self.field_x = self._number("MAG:FIELD_X_GAUSS_RBV", "G", 4)
        self.field_done = self._integer("MAG:DONE", 1)
        self.current = self._number("MAG:CURRENT_A_RBV", "A", 4)
        self.coil = self._number("MAG:COIL_K_RBV", "K", 1)
        self.lead_ok = self._integer("MAG:LEAD_OK_RBV", 1)

    def _cryostat(self) -> None:
        rig = self._rig
        reason, cryostat = self._reason("CRYO"), rig.cryostat
        permit = self._moving("cryostat", lambda: (rig.cryostat.ramp_k, rig.cryostat.target_k))
        self._setting("CRYO:TEMPERATURE_K", "K", cryostat.target_k, rig.set_temperature_k, reason, permit)
        rate, permit = cryostat.rate_k_per_min, self._rate("cryostat")
        self._setting("CRYO:RATE_K_PER_MIN", "K/min", rate, rig.set_temperature_rate, reason, permit)
        self.ramp = self._number("CRYO:TEMPERATURE_K_RBV", "K")
        self.stage = self._number("CRYO:STAGE_K_RBV", "K")
        self.sample = self._number("CRYO:SAMPLE_K_RBV", "K")
        self.drift = self._number("CRYO:DRIFT_K_PER_MIN_RBV", "K/min", 4)
        self.settled = self._integer("CRYO:SETTLED", 1)
        self.compressor = self._integer("CRYO:COMPRESSOR_RBV", 1)
        self.vacuum_ok = self._integer("CRYO:VACUUM_OK_RBV", 1)
        self.cryogen_ok = self._integer("CRYO:CRYOGEN_OK_RBV", 1)

    def _transport(self) -> None:
        self.resistance = self._number("TRANSPORT:RESISTANCE_OHM_RBV", "Ohm", 6)
        self.resistance_sigma = self._number("TRANSPORT:SIGMA_OHM_RBV", "Ohm", 6)
        self.phase = self._number("TRANSPORT:PHASE_DEG_RBV", "deg")
        self.excitation = self._number("TRANSPORT:CURRENT_UA_RBV", "uA")
        self.resistance_count = self._integer("TRANSPORT:COUNT_RBV")
        rig, reason = self._rig, self._reason("TRANSPORT")
        permit = self._changing("transport")
        self._setting("TRANSPORT:CURRENT_UA", "uA", rig.meter.current_ua, rig.set_transport_current, reason, permit)
        permit = self._changing("transport", off_at_zero=False)
        self._setting("TRANSPORT:MODE", "", rig.meter.mode, rig.set_transport_mode, reason, permit)
        self._reading("TRANSPORT:MEASURE", self._measure, reason, "transport")
        self.contacts = builder.WaveformIn(self._prefix + "TRANSPORT:CONTACTS_OHM_RBV", np.full(4, math.nan))
        self.contacts_count = self._integer("TRANSPORT:CONTACTS_COUNT_RBV")
        self._reading("TRANSPORT:CHECK_CONTACTS", self._check_contacts, reason, "transport")

    def _reading(self, name: str, read: Callable[[], None], reason: Any = None, instrument: str = "") -> None:
        """Make a record that reads once when 1 is put and is 0 again when done; the guard is asked for `instrument`."""

        async def put(asked: int) -> None:
            if not asked:
                return
            why = await self._guard.refusal(instrument, asked) if instrument else ""
            self._catch_up()
            try:
                if reason is not None:
                    reason.set(why)
                if not why:
                    read()
            finally:
                record.set(0, process=False)
            self.show()

        record = builder.longOut(
            self._prefix + name, initial_value=0, on_update=put, always_update=True, blocking=True, DRVL=0, DRVH=1
        )

    def _measure(self) -> None:
        reading = self._rig.measure_resistance()
        severity = alarm.NO_ALARM if math.isfinite(reading.ohm) else alarm.INVALID_ALARM
        self.resistance.set(reading.ohm, severity=severity)
        self.resistance_sigma.set(reading.sigma_ohm, severity=severity)
        self.phase.set(reading.phase_deg)
        self._counts["transport"] += 1

    def _check_contacts(self) -> None:
        self.contacts.set(np.array(self._rig.meter.contacts()))
        self._counts["contacts"] += 1

    def _pressure(self) -> None:
        rig = self._rig
        self.membrane_reason = self._reason("DAC")
        permit = self._moving("pressure", lambda: (rig.membrane_bar, rig.cell.target_bar))
        self._setting("DAC:MEMBRANE_BAR", "bar", rig.membrane_bar, rig.set_membrane_bar, self.membrane_reason, permit)
        self.membrane = self._number("DAC:MEMBRANE_BAR_RBV", "bar")
        self.load_index = self._integer("DAC:LOAD_INDEX_RBV")
        self.membrane_done = self._integer("DAC:DONE", 1)

    def _ruby(self) -> None:
        self.spectrum = builder.WaveformIn(self._prefix + "RUBY:SPECTRUM", np.zeros(WAVELENGTH_NM.size))
        builder.WaveformIn(self._prefix + "RUBY:WAVELENGTH_NM", WAVELENGTH_NM)
        self.r1 = self._number("RUBY:R1_NM_RBV", "nm", 4)
        self.r2 = self._number("RUBY:R2_NM_RBV", "nm", 4)
        self.ruby_pressure = self._number("RUBY:PRESSURE_GPA_RBV", "GPa")
        self.ruby_count = self._integer("RUBY:COUNT_RBV")
        self._reading("RUBY:ACQUIRE", self._acquire)

    def _acquire(self) -> None:
        reading = self._rig.take_ruby()
        severity = alarm.NO_ALARM if math.isfinite(reading.r1_nm) else alarm.INVALID_ALARM
        self.spectrum.set(reading.spectrum)
        self.r1.set(reading.r1_nm, severity=severity)
        self.r2.set(reading.lines.r2_nm)
        self.ruby_pressure.set(reading.pressure_gpa, severity=severity)
        self._counts["ruby"] += 1

    def _laser(self) -> None:
        rig = self._rig
        reason = self._reason("LASER")
        power = self._output("laser_power_mw", 0.0, 500.0, " mW")
        self._setting("LASER:POWER_MW", "mW", rig.laser_power_mw, power, reason, self._changing("laser"))
        self._switch("LASER:SHUTTER", self._output("shutter", 0, 1), reason, "laser")
        self.laser_power = self._number("LASER:POWER_MW_RBV", "mW")
        self.shutter = self._integer("LASER:SHUTTER_RBV")
        self.door_ok = self._integer("LASER:DOOR_OK_RBV", 1)

    def _twin(self) -> None:
        self.state = builder.longStringIn(self._prefix + "TWIN:STATE", length=STATE_LENGTH)
        self.clock = self._number("TWIN:CLOCK_S_RBV", "s", 1)
        self.mains_ok = self._integer("TWIN:MAINS_OK_RBV", 1)

        def take(value: float) -> str:
            if not 0.0 <= value <= 10_000.0:
                return "the speed is 0 to 10000"
            self.speed = value
            return ""

        self._setting("TWIN:SPEED", "", self.speed, take)
        fault_records(self._prefix, self._rig, self._catch_up, self.show)

    def show(self) -> None:
        """Bring every readback up to date."""
        rig, cryostat = self._rig, self._rig.cryostat
        values: list[tuple[Any, Any]] = [
            (self.power, rig.microwave_power_dbm),
            (self.enable, rig.microwave_enable),
            (self.list_count, len(rig.frequency_mhz)),
            (self.frequency, rig.frequency_mhz[0] if rig.frequency_mhz else 0.0),
            (self.field_z, rig.field["z"]),
            (self.field_x, rig.field["x"]),
            (self.current, rig.coils.supply["z"] / GAUSS_PER_AMPERE),
            (self.coil, round(rig.coils.temperature_k, 1)),
            (self.field_done, int(rig.field_done)),
            (self.ramp, cryostat.ramp_k),
            (self.stage, cryostat.stage_k),
            (self.sample, rig.thermometer_k),
            (self.drift, cryostat.drift_k_per_min),
            (self.settled, int(cryostat.settled)),
            (self.compressor, int(cryostat.compressor_on)),
            (self.vacuum_ok, int(not rig.faults.vacuum_lost)),
            (self.cryogen_ok, int(not rig.faults.cryogen_lost)),
            (self.door_ok, int(not rig.faults.door_open)),
            (self.lead_ok, int(not rig.faults.coil_lead_open)),
            (self.mains_ok, int(not rig.faults.mains_lost)),
            (self.excitation, rig.meter.current_ua),
            (self.resistance_count, self._counts["transport"]),
            (self.contacts_count, self._counts["contacts"]),
            (self.membrane, rig.membrane_bar),
            (self.load_index, rig.load_index),
            (self.membrane_done, int(rig.membrane_done)),
            (self.ruby_count, self._counts["ruby"]),
            (self.laser_power, rig.laser_power_mw),
            (self.shutter, rig.shutter),
            (self.clock, rig.clock_s),
            (self.state, rig.state().to_text()),
        ]
        for record, value in values:
            if self._shown.get(record.name) != value:
                self._shown[record.name] = value
                record.set(value)
