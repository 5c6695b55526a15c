"""A measurement becomes a run like any other: frames file, document log, Tiled. All of it or nothing."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from stream.archive_hdf5 import FrameWriter
from stream.assets import frames_data_key, stream_datum, stream_resource
from stream.catalog import CatalogError
from stream.crc import crc32c
from stream.document_log import write_log
from stream.hdf5_errors import HDF5_ERRORS, reason, require_room
from stream.ingest import IngestError, Measurement
from stream.maps_file import sync
from stream.measured_state import MeasuredState
from stream.messages import Json, RunMode, RunStart, SweepRole, SweepStart
from stream.paths import documents_path, frames_path

_LOG = logging.getLogger(__name__)
FRAMES_KEY = "camera_frames"
"""Name of the frames in the descriptor, the same as a live run's."""
_OVERHEAD_BYTES = 1_000_000
"""Room for what the frames file holds beside the frames, and for the document log."""


@dataclass(frozen=True)
class IngestRun:
    """What a measurement does not say itself."""

    analysis: Json = field(default_factory=dict[str, object])
    """Analysis settings stored with the run."""
    sample: str = ""
    """Name of the sample."""
    rig: str = "ingest"
    """Name of the rig."""
    source: str = ""
    """Name of the file it came from."""
    regions: Json = field(default_factory=dict[str, object])
    """Named polygons in um from the image centre."""
    measured: MeasuredState = field(default_factory=MeasuredState)
    """Temperature, field and pixel size."""
    state_notes: tuple[str, ...] = ()
    """Which of them were assumed, one sentence each."""


def ingest_run(measurement: Measurement, data_dir: str | Path, run: IngestRun, catalog: Any = None) -> str:
    """Write a measurement as a run and return its uid.

    Parameters
    ----------
    measurement
        From `stream.ingest.read_measurement`.
    data_dir
        Data folder of the rig.
    run
        What else is known.
    catalog
        Tiled client of `stream.catalog.open_catalog`; None leaves the run in the document log, from where the next
        session that has Tiled sends it. So does a Tiled that fails.

    Raises
    ------
    IngestError
        Where the files cannot be written; none is left behind then.
    """
    import event_model

    metadata = _metadata(measurement, run)
    bundle = cast("Any", event_model.compose_run(metadata=metadata))
    run_uid = str(bundle.start_doc["uid"])
    start, sweep = _openings(measurement, run, run_uid, float(bundle.start_doc["time"]))
    frames = frames_path(data_dir, run_uid)
    with _all_or_nothing(frames, documents_path(data_dir, run_uid)):
        _write_frames(frames, measurement, start, sweep)
        write_log(data_dir, run_uid, _documents(bundle, measurement, sweep, frames, run_uid))
    if catalog is not None:
        from stream.archive_tiled import send_log

        try:
            send_log(data_dir, run_uid, catalog)
        except CatalogError as error:
            _LOG.warning("run %s is on disk and goes to Tiled later: %s", run_uid[:8], error)
    return run_uid


def _metadata(measurement: Measurement, run: IngestRun) -> Json:
    return {
        "plan_name": "ingest",
        "mode": str(RunMode.LIVE),
        "sample": run.sample,
        "rig": run.rig,
        "analysis": run.analysis,
        "noise": dataclasses.asdict(measurement.noise),
        "ingest": {"source": run.source, "notes": [*measurement.notes, *run.state_notes]},
    }


def _openings(measurement: Measurement, run: IngestRun, run_uid: str, time_s: float) -> tuple[RunStart, SweepStart]:
    _, height, width = measurement.frames.shape
    start = RunStart(
        run_uid=run_uid,
        mode=RunMode.LIVE,
        height=height,
        width=width,
        dtype=measurement.frames.dtype.newbyteorder("<").str,
        noise=measurement.noise,
        analysis=run.analysis,
        regions=run.regions,
        pixel_size_um=run.measured.pixel_size_um,
        sample=run.sample,
        rig=run.rig,
        time_s=time_s,
    )
    return start, SweepStart(run_uid, 0, SweepRole.SINGLE, run.measured.state(), measurement.frequency_mhz, 1)


def _write_frames(path: Path, measurement: Measurement, start: RunStart, sweep: SweepStart) -> None:
    """Write the frames under another name and rename: a reader meets the whole file or none."""
    part = path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    require_room(path.parent, _OVERHEAD_BYTES + measurement.frames.nbytes)
    with FrameWriter(part, dataclasses.replace(start, frames_path=str(path))) as writer:
        writer.add_sweep(sweep)
        for i, frame in enumerate(measurement.frames):
            frequency_mhz = float(measurement.frequency_mhz[i])
            writer.append(0, 0, i, frequency_mhz, np.ascontiguousarray(frame), crc32c(frame), start.time_s)
    sync(part)
    part.replace(path)


def _documents(
    bundle: Any, measurement: Measurement, sweep: SweepStart, frames: Path, run_uid: str
) -> Iterator[tuple[str, Json]]:
    """Yield the documents of the run: the frames as an external asset, the sweep as one event."""
    count, height, width = measurement.frames.shape
    key = frames_data_key("file:ingest", height, width, measurement.frames.dtype.newbyteorder("<").str)
    images = bundle.compose_descriptor(name="frames", data_keys={FRAMES_KEY: key})
    values = {"sweep": 0, "temperature_k": sweep.state.temperature_k, "field_gauss": sweep.state.field_gauss}
    units = {"temperature_k": "K", "field_gauss": "G"}
    keys = {
        name: {"source": "file:ingest", "dtype": "number", "shape": [], "units": units.get(name, "")} for name in values
    }
    sweeps = bundle.compose_descriptor(name="primary", data_keys=keys)
    resource = stream_resource(FRAMES_KEY, frames, height, width, run_uid)
    yield "start", bundle.start_doc
    yield "descriptor", images.descriptor_doc
    yield "descriptor", sweeps.descriptor_doc
    yield "stream_resource", resource
    yield "stream_datum", stream_datum(str(resource["uid"]), 0, count, images.descriptor_doc["uid"])
    yield "event", sweeps.compose_event(data=values, timestamps=dict.fromkeys(values, time.time()))
    yield "stop", bundle.compose_stop()


@contextmanager
def _all_or_nothing(*paths: Path) -> Generator[None]:
    """Remove the files of a run that could not be written whole."""
    try:
        yield
    except BaseException as error:
        for path in paths:
            for file in (path, path.with_suffix(".part")):
                with suppress(OSError):
                    file.unlink(missing_ok=True)
        if isinstance(error, HDF5_ERRORS):
            raise IngestError(
                f"the run cannot be written: {reason(error)}; is the disk full or the folder read-only?"
            ) from error
        raise
