"""Runs of the twin on disk, written through the real stream: frame server, ring and recorder in this process, no IOC.

A run is a list of points; the twin's state at each is what the IOC would have frozen. Documents name the sample, the
load and the runs that belong together, and hold R(T) where it is asked for.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from event_model import compose_run
from numpy.typing import NDArray
from scipy import ndimage

from devices.settings import CameraSettings, TwinSettings
from devices.twin.camera import TwinCamera
from devices.twin.history import FieldStep, SampleHistory
from devices.twin.resistance import resistance_curve
from devices.twin.state import TwinState
from devices.twin.truth import truth_of
from stream.camera_control import CameraControl
from stream.document_log import write_log
from stream.frame_server import FrameServer
from stream.messages import FieldHistory, Json, NoiseModel, RunMode, RunStart, SweepRequest, SweepRole
from stream.settings import StreamSettings

Field = tuple[float, float, float]
"""Applied field in the culet frame, G."""
ALONG: Field = (0.0, 0.0, 97.0)
NONE: Field = (0.0, 0.0, 0.0)
ACROSS: Field = (40.0, 0.0, 0.0)
NORMAL_K = 150.0
REMNANT_GAUSS = 150.0
_WINDOWS: Mapping[Field, tuple[tuple[float, float, int], ...]] = {
    ALONG: ((2800.0, 2915.0, 30), (2945.0, 3055.0, 5), (3070.0, 3320.0, 56), (3345.0, 3460.0, 29)),
    NONE: ((3030.0, 3250.0, 120),),
    ACROSS: ((2930.0, 3380.0, 120),),
}
"""First and last frequency and points, MHz, around 21 GPa; other loads shift them."""
SHIFT_MHZ_PER_GPA = 10.0
"""How far lines move with the load, MHz/GPa, roughly."""
CAMERA = CameraSettings(frame_rate_hz=0.0, electrons_per_count=80.0)
"""Wells of ten frames of the rig's camera: one pass says what ten of its would."""
BRIGHT = 3_200_000.0
"""Electrons per pixel and frame that fill them."""
ANALYSIS: Json = {"miscut_azimuth_deg": 20.0}
ZERO_FIELD_ANALYSIS: Json = {**ANALYSIS, "lines": 3, "doublets": [[0, 1]]}
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Point:
    """One sweep of a run."""

    role: SweepRole
    temperature_k: float
    field: Field = ALONG
    history: FieldHistory = FieldHistory.ZFC_FW
    steps: tuple[FieldStep, ...] = ()


@dataclass(frozen=True)
class TwinRun:
    """A run to be written."""

    run_uid: str
    load_gpa: float
    load_index: int
    points: tuple[Point, ...]
    plan: str
    analysis: Json = field(default_factory=lambda: dict(ANALYSIS))
    about: Json = field(default_factory=dict[str, object])
    """More for the start document, such as `stress_run`."""
    frequency_mhz: NDArray[np.float64] | None = None
    """Frequencies of every point; None: those of its field at the load."""
    resistance: bool = False
    """Whether its documents have R(T)."""


def frequencies(applied: Field, load_gpa: float) -> NDArray[np.float64]:
    """Return the frequency list of a field at a load, MHz."""
    shift = SHIFT_MHZ_PER_GPA * (load_gpa - 21.0)
    return np.concatenate([np.linspace(*window) for window in _WINDOWS[applied]]) + shift


def warming(uid: str, load_gpa: float, load_index: int, ladder_k: Sequence[float], **options: Any) -> TwinRun:
    """Return a field warming after a zero-field cool, with both references."""
    normal = FieldHistory.NORMAL_STATE
    ladder = [Point(SweepRole.WARMING, t, steps=(FieldStep(ALONG[2], t),)) for t in ladder_k]
    references = [
        Point(role, NORMAL_K, history=normal) for role in (SweepRole.OPENING_REFERENCE, SweepRole.CLOSING_REFERENCE)
    ]
    points = (references[0], *ladder, references[1])
    return TwinRun(uid, load_gpa, load_index, points, "zfc_field_warming", **options)


def stress_map(uid: str, load_gpa: float, load_index: int) -> TwinRun:
    """Return the three fields of a stress map in the normal state."""
    roles = {ALONG: SweepRole.OPENING_REFERENCE, NONE: SweepRole.SINGLE, ACROSS: SweepRole.SINGLE}
    points = tuple(Point(role, NORMAL_K, applied, FieldHistory.NORMAL_STATE) for applied, role in roles.items())
    return TwinRun(uid, load_gpa, load_index, points, "stress_map")


def remnant(uid: str, load_gpa: float, load_index: int, base_k: float) -> TwinRun:
    """Return a map without field after a zero-field cool, and one of what a field cool leaves behind."""
    cooled = SampleHistory(REMNANT_GAUSS, base_k, base_k, REMNANT_GAUSS).advanced(0.0, base_k)
    points = (
        Point(SweepRole.SINGLE, base_k, NONE, FieldHistory.ZFC_FW),
        Point(SweepRole.SINGLE, base_k, NONE, FieldHistory.FC_REMNANT, cooled.answering_steps()),
    )
    return TwinRun(uid, load_gpa, load_index, points, "fc_remnant", dict(ZERO_FIELD_ANALYSIS))


def write_runs(
    data_dir: Path, twin: TwinSettings, runs: Sequence[TwinRun], camera: CameraSettings = CAMERA, passes: int = 1
) -> None:
    """Write runs of one sample: frames through the stream, then the documents."""
    with _server(data_dir, twin, camera) as (control, state):
        for run in runs:
            unknown = NoiseModel("", 1.0)  # the camera fills in what it knows
            control.open_run(
                RunStart(run.run_uid, RunMode.SIMULATED, 0, 0, "", unknown, run.analysis, sample=twin.sample)
            )
            for number, point in enumerate(run.points):
                state.clear()
                state.update(_state(twin, run, point).to_json())
                listed = frequencies(point.field, run.load_gpa) if run.frequency_mhz is None else run.frequency_mhz
                request = SweepRequest(run.run_uid, number, point.role, listed, passes, run.load_index, point.history)
                control.arm(request)
                control.trigger(run.run_uid, number)
                control.wait_sent(run.run_uid, number, TIMEOUT_S)
            control.close_run(run.run_uid, "success")
            write_log(data_dir, run.run_uid, list(_documents(twin, run)))


@contextmanager
def _server(
    data_dir: Path, twin: TwinSettings, camera: CameraSettings
) -> Generator[tuple[CameraControl, dict[str, object]]]:
    """Give the control of a frame server of the twin, and the state that it reads when it is armed."""
    runtime = Path(tempfile.mkdtemp(prefix="nvdac-b-", dir="/tmp"))
    settings = StreamSettings(str(runtime), str(data_dir), ring_mib=32, full_policy="spill")
    state: dict[str, object] = {}
    maker = TwinCamera(twin, camera, lambda: state)
    info: Json = {
        "mode": "SIMULATED",
        "pixel_size_um": twin.pixel_size_um,
        "noise": dataclasses.asdict(maker.noise),
        "regions": maker.regions(),
    }
    try:
        with FrameServer(settings, maker, info) as server:
            thread = threading.Thread(target=server.run, name="twin-runs")
            thread.start()
            try:
                with CameraControl(settings, TIMEOUT_S) as control:
                    yield control, state
            finally:
                server.stop()
                thread.join()
    finally:
        shutil.rmtree(runtime, ignore_errors=True)


def _state(twin: TwinSettings, run: TwinRun, point: Point) -> TwinState:
    t = point.temperature_k
    return TwinState(
        sample=twin.sample,
        seed=twin.seed,
        load_index=run.load_index,
        load_gpa=run.load_gpa,
        sample_temperature_k=t,
        stage_temperature_k=t,
        temperature_max_since_field_k=t,
        field_xyz_gauss=point.field,
        history=point.history,
        field_steps=point.steps,
        microwave_power_dbm=-20.0,
        microwave_enable=1,
        laser_power_mw=100.0,
        shutter=1,
    )


def _documents(twin: TwinSettings, run: TwinRun) -> Iterator[tuple[str, Json]]:
    """Yield the documents of a run, with R(T) of the cool-down where it is asked for."""
    about = {"sample": twin.sample, "plan_name": run.plan, "load_index": run.load_index, **run.about}
    bundle = compose_run(uid=run.run_uid, metadata=about)
    yield "start", dict(bundle.start_doc)
    if run.resistance:
        names = ("cryostat_sample_k", "transport_resistance_ohm")
        keys: Any = {name: {"source": "twin", "dtype": "number", "shape": []} for name in names}
        stream = bundle.compose_descriptor(name="cooldown", data_keys=keys)
        yield "descriptor", dict(stream.descriptor_doc)
        curve = resistance_curve(truth_of(twin, run.load_gpa))
        noise = 1.0 + 1e-3 * np.random.default_rng(twin.seed).standard_normal(120)
        for t, factor in zip(np.linspace(NORMAL_K, 9.0, 120).tolist(), noise.tolist(), strict=True):
            data = dict(zip(names, (t, factor * curve.ohm(t)), strict=True))
            yield "event", dict(stream.compose_event(data=data, timestamps=dict.fromkeys(names, 1.0)))
    yield "stop", dict(bundle.compose_stop())


def trapped_gauss(twin: TwinSettings, load_gpa: float, base_k: float) -> NDArray[np.float64]:
    """Return the field along Z that `remnant` leaves behind, as sharp as the camera sees it, G (y, x)."""
    truth = truth_of(twin, load_gpa)
    cooled = SampleHistory(REMNANT_GAUSS, base_k, base_k, REMNANT_GAUSS).advanced(0.0, base_k)
    left = truth.answer_gauss(cooled.answering_steps())[..., 2]
    return np.asarray(ndimage.gaussian_filter(left, truth.psf_sigma_px, mode="nearest"), np.float64)
