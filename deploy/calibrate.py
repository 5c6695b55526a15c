"""`nvdac calibrate`: what a calibration run says, written into the rig's book of calibrations."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from deploy.errors import DeployError
from deploy.stored import find_frames
from deploy.up import default_data_dir
from physics.constants import GAMMA_MHZ_PER_GAUSS
from plans.calibration_book import DAY_S, Calibration, CalibrationBook
from plans.calibration_fits import fit_camera, fit_field_direction, fit_powers, fit_ruby_zero, fit_thermometer
from plans.coil import fit_coil
from stream.archive_hdf5 import FrameFile, FramesError
from stream.document_log import read_documents
from stream.maps_file import read_maps
from stream.paths import documents_path

Array = NDArray[np.float64]
BOOK = "calibrations.jsonl"
"""Name of the book in the data folder."""
LARGEST_ACROSS_MHZ = 45.0
"""Largest transverse splitting of [111] by stress, MHz."""
DRIFT_GROUP = 2
"""Frames whose difference is free of slow drift."""


@dataclass(frozen=True)
class _Run:
    """A stored run."""

    uid: str
    data_dir: Path
    start: dict[str, Any]
    events: list[dict[str, Any]]
    """Data of its stream `primary`."""
    time_s: float

    def column(self, name: str) -> Array:
        """(n,) values of a field of the events."""
        if not self.events or name not in self.events[0]:
            raise DeployError(f"run {self.uid}: its events have no {name}")
        return np.array([float(row[name]) for row in self.events])

    def sweeps(self) -> list[tuple[dict[str, NDArray[Any]], dict[str, Any]]]:
        """Planes and attributes of the maps of its sweeps, newest version, in order."""
        folders = sorted((self.data_dir / "processed" / self.uid).glob("*/"), key=lambda path: path.stat().st_mtime)
        files = sorted(folders[-1].glob("sweep_*.h5")) if folders else []
        if not files:
            raise DeployError(f"run {self.uid} has no maps in {self.data_dir}; make them with `nvdac fit`")
        return [cast("Any", read_maps(path)) for path in files]


def calibrate(uid: str, data: Path | None, site: str | None) -> Calibration:
    """Return what a calibration run says and write it into the book of its data folder.

    Raises
    ------
    DeployError
        Where there is no such run, it is no calibration, or it does not say enough.
    """
    run = _read(uid, data, site)
    maker = MAKERS.get(str(run.start.get("plan_name")))
    if maker is None:
        raise DeployError(
            f"run {run.uid} was taken by {run.start.get('plan_name')!r}; calibrations are {', '.join(MAKERS)}"
        )
    try:
        found = maker(run)
    except (KeyError, ValueError, FramesError) as error:
        raise DeployError(f"run {run.uid}: {error}") from error
    CalibrationBook(run.data_dir / BOOK).add(found)
    return found


def newest_coil(data_dir: Path) -> Calibration | None:
    """Return the newest calibration of the coil in a data folder.

    Raises
    ------
    DeployError
        Where the book cannot be read.
    """
    try:
        return CalibrationBook(data_dir / BOOK).newest("coil")
    except ValueError as error:
        raise DeployError(str(error)) from error


def book_lines(data: Path | None, now_s: float | None = None) -> list[str]:
    """Return a line per calibration of a data folder: value, uncertainty, age, whether it still counts."""
    book = CalibrationBook((data or default_data_dir()) / BOOK)
    now = time.time() if now_s is None else now_s
    try:
        return [line for row in book.all() for line in lines_of(row, now)]
    except ValueError as error:
        raise DeployError(str(error)) from error


def lines_of(row: Calibration, now_s: float) -> list[str]:
    """Return a calibration for people."""
    state = "" if row.fresh(now_s) else ", TOO OLD"
    age = f"{row.age_s(now_s) / DAY_S:.1f} of at most {row.age_max_s / DAY_S:.0f} days old{state}"
    rows = [f"{row.kind:<16} {age}  run {row.run_uid or '-'}"]
    rows += [f"  {name:<22} {value:.6g} +- {row.sigmas[name]:.2g}" for name, value in row.values.items()]
    return [*rows, *(f"  {note}" for note in row.notes)]


def _read(uid: str, data: Path | None, site: str | None) -> _Run:
    path: Path | None = None
    if data is not None:  # runs without the camera have documents only
        logs = list((data / "documents").glob(f"{uid}*.jsonl"))
        path = logs[0] if len(logs) == 1 else None
    if path is None:
        frames = find_frames(uid, data, site)
        path = documents_path(frames.parent.parent, frames.stem)
    start: dict[str, Any] = {}
    names: dict[str, str] = {}
    events: list[dict[str, Any]] = []
    for name, document in read_documents(path):
        values: dict[str, Any] = dict(document)
        if name == "start":
            start = values
        elif name == "descriptor":
            names[values["uid"]] = values["name"]
        elif name == "event" and names.get(values["descriptor"]) == "primary":
            events.append(values["data"])
    return _Run(path.stem, path.parent.parent, start, events, float(start.get("time", time.time())))


def _outer(planes: dict[str, NDArray[Any]], attributes: dict[str, Any], pair: int = 0) -> tuple[int, int]:
    """Return the line numbers of a doublet."""
    settings: Any = attributes.get("analysis") or attributes.get("settings") or {}
    doublets = settings.get("doublets") or [[0, len(planes["centre_mhz"]) - 1]]
    return int(doublets[pair][0]), int(doublets[pair][1])


def _coil(run: _Run) -> Calibration:
    fields: list[float] = []
    halves: list[Any] = []
    sigmas: list[Any] = []
    for planes, attributes in run.sweeps():
        low, high = _outer(planes, attributes)
        centre, sigma = planes["centre_mhz"].astype(np.float64), planes["centre_mhz_sigma"].astype(np.float64)
        fields.append(float(attributes["sweep_start"]["state"]["field_gauss"]))
        halves.append(of_111(0.5 * (centre[high] - centre[low]), fields[-1]))
        sigmas.append(0.5 * np.hypot(sigma[high], sigma[low]))
    found = fit_coil(fields, np.array(halves), np.nan_to_num(np.array(sigmas), nan=1.0), run.time_s)
    values = {
        "remanence_gauss": (found.remanence_gauss, found.remanence_sigma_gauss),
        "scale": (found.scale, found.scale_sigma),
    }
    note = f"{found.agreeing_share:.0%} of the pixels agree"
    return Calibration.made("coil", values, run.time_s, run.uid, (note,))


def of_111(half_splitting_mhz: Array, field_gauss: float) -> Array:
    """Return half splittings with NaN where [111] cannot have them at this field: lines of other groups were taken."""
    along = GAMMA_MHZ_PER_GAUSS.value * abs(field_gauss)
    highest = 1.05 * np.hypot(along, LARGEST_ACROSS_MHZ)
    possible = (half_splitting_mhz >= 0.9 * along) & (half_splitting_mhz <= highest)
    return np.where(possible, half_splitting_mhz, np.nan)


def _powers(run: _Run) -> Calibration:
    arguments = run.start["plan_args"]
    count = len(arguments["microwave_dbm"])
    if count < 3:
        raise ValueError("its series has fewer than three powers of the microwave")
    widths = [
        float(np.nanmedian(planes["fwhm_mhz"][list(_outer(planes, attributes))]))
        for planes, attributes in run.sweeps()[:count]
    ]
    count = min(count, len(widths))
    power = 10.0 ** (run.column("microwave_power_dbm")[:count] / 10.0)
    found = fit_powers(power, widths, run.column("cryostat_sample_k")[:count])
    note = f"power of the source; sample at {run.column('cryostat_sample_k')[0]:.4g} K"
    return Calibration.made("powers", found, run.time_s, run.uid, (note,))


def _thermometer(run: _Run) -> Calibration:
    found = fit_thermometer(run.column("cryostat_stage_k"), run.column("cryostat_sample_k"))
    return Calibration.made("thermometer", found, run.time_s, run.uid)


def _ruby(run: _Run) -> Calibration:
    arguments = run.start["plan_args"]
    lamp = float(arguments["lamp_nm"])
    spectra = [(row["ruby_wavelength_nm"], row["ruby_spectrum"]) for row in run.events] if lamp else []
    read = np.array([lamp_line_nm(x, y, lamp) for x, y in spectra]) if lamp else None
    found, notes = fit_ruby_zero(
        run.column("ruby_r1_nm"), run.column("cryostat_sample_k"), float(arguments["pressure_gpa"]), read, lamp
    )
    return Calibration.made("ruby_zero", found, run.time_s, run.uid, notes)


def lamp_line_nm(wavelength_nm: Any, spectrum: Any, near_nm: float, reach_nm: float = 0.6) -> float:
    """Return the centre of gravity of the counts above their floor within `reach_nm` of a line, nm.

    Raises
    ------
    ValueError
        Where no line stands out there.
    """
    x, y = np.asarray(wavelength_nm, dtype=np.float64), np.asarray(spectrum, dtype=np.float64)
    window = np.abs(x - near_nm) <= reach_nm
    if np.count_nonzero(window) < 5:
        raise ValueError(f"the spectra do not reach the lamp's line at {near_nm:g} nm")
    floor = float(np.median(y[window]))
    above = np.clip(y[window] - floor - 3.0 * np.sqrt(max(floor, 1.0)), 0.0, None)
    if above.sum() <= 0.0:
        raise ValueError(f"no lamp line within {reach_nm:g} nm of {near_nm:g} nm")
    return float((above * x[window]).sum() / above.sum())


def _camera(run: _Run) -> Calibration:
    means: list[Array] = []
    variances: list[Array] = []
    with FrameFile(run.data_dir / "frames" / f"{run.uid}.h5") as file:
        for sweep in file.complete_sweeps():
            mean, variance = transfer(np.stack([frame for _, _, frame in file.frames(sweep.sweep)]), not means)
            means.append(mean)
            variances.append(variance)
    if len(means) < 2:
        raise ValueError("it has no dark and lit frames")
    found = fit_camera(np.stack(means[1:]), np.stack(variances[1:]), means[0], variances[0])
    return Calibration.made("camera", found, run.time_s, run.uid)


def transfer(frames: NDArray[Any], dark: bool) -> tuple[Array, Array]:
    """Return mean and variance of each pixel over the frames (n, y, x), slow drift and common wander taken out."""
    values = np.asarray(frames, dtype=np.float64)
    mean = values.mean(axis=0)
    if not dark:  # the light wanders as a whole: each frame is brought to the mean brightness
        values = values * (mean.mean() / values.mean(axis=(1, 2)))[:, None, None]
    pairs = values[: values.shape[0] // DRIFT_GROUP * DRIFT_GROUP]
    return mean, 0.5 * ((pairs[1::2] - pairs[::2]) ** 2).mean(axis=0)


def _direction(run: _Run) -> Calibration:
    (planes, attributes), *_ = run.sweeps()
    if len(planes["centre_mhz"]) != 8:
        raise ValueError("its maps have not the eight lines of four groups: set lines = 8 in its analysis")
    pairs = [_outer(planes, attributes, pair) for pair in range(4)]
    centre = np.nanmedian(planes["centre_mhz"].reshape(8, -1).astype(np.float64), axis=1)
    count = np.count_nonzero(np.isfinite(planes["centre_mhz"][0]))
    sigma = float(np.nanmedian(planes["centre_mhz_sigma"])) / np.sqrt(max(1, count))
    azimuth = float(run.start["plan_args"]["expected_azimuth_deg"])
    found = fit_field_direction(
        [float(centre[low]) for low, _ in pairs], [float(centre[high]) for _, high in pairs], max(sigma, 0.01), azimuth
    )
    return Calibration.made("field_direction", found, run.time_s, run.uid)


MAKERS: dict[str, Callable[[_Run], Calibration]] = {
    "calibrate_coil": _coil,
    "power_series": _powers,
    "calibrate_thermometer": _thermometer,
    "calibrate_ruby": _ruby,
    "calibrate_camera": _camera,
    "calibrate_direction": _direction,
}
"""Plan of a calibration run -> what reads it."""
