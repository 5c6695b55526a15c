"""What a file says about a run: `RunStart` as JSON and `SweepStart` as a CBOR record, both exact inverses.

The wire has its own form (`stream.codec`); these two are what stays on disk for years, so they are self-describing,
carry no protocol number and keep unknown keys out on the way back.
"""

from __future__ import annotations

import dataclasses
import json
from typing import cast

import cbor2
import numpy as np
from pydantic import TypeAdapter

from stream.messages import Json, RunStart, StatePoint, SweepRole, SweepStart

_RUN_START = TypeAdapter(RunStart)
_STATE = TypeAdapter(StatePoint)


def run_start_to_json(start: RunStart) -> str:
    """Return the run's opening as JSON text.

    Raises
    ------
    ValueError
        Where a number is not finite: JSON has no word for it.
    """
    return json.dumps(dataclasses.asdict(start), allow_nan=False, sort_keys=True)


def run_start_from_json(text: str) -> RunStart:
    """Return the `RunStart` that `run_start_to_json` wrote."""
    return _RUN_START.validate_python(json.loads(text))


def sweep_to_record(sweep: SweepStart) -> bytes:
    """Return a sweep's opening as one CBOR map, frequencies as little-endian doubles."""
    record = {
        "run_uid": sweep.run_uid,
        "sweep": sweep.sweep,
        "role": str(sweep.role),
        "state": {key: _plain(value) for key, value in dataclasses.asdict(sweep.state).items()},
        "frequency_mhz": np.ascontiguousarray(sweep.frequency_mhz, dtype="<f8").tobytes(),
        "passes": sweep.passes,
        "source_state": sweep.source_state,
    }
    return cbor2.dumps(record)


def sweep_from_record(record: bytes) -> SweepStart:
    """Return the `SweepStart` that `sweep_to_record` wrote."""
    values = cast("Json", cbor2.loads(record))
    return SweepStart(
        run_uid=str(values["run_uid"]),
        sweep=int(cast("int", values["sweep"])),
        role=SweepRole(str(values["role"])),
        state=_STATE.validate_python(values["state"]),
        frequency_mhz=np.frombuffer(cast("bytes", values["frequency_mhz"]), dtype="<f8").astype(np.float64),
        passes=int(cast("int", values["passes"])),
        source_state=cast("Json", values["source_state"]),
    )


def _plain(value: object) -> object:
    return str(value) if isinstance(value, str) else value
