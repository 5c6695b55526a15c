"""A measurement from a file: frames, frequencies, noise. What is guessed is said, what is wrong is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.ingest_checks import arrange, counts, frequency_axis
from stream.ingest_noise import estimate_noise
from stream.ingest_readers import IngestError, Variables, read_variables
from stream.messages import NoiseModel

__all__ = ["GWIDE", "IngestError", "IngestOptions", "Measurement", "read_measurement"]

MOST_ACCUMULATIONS = 10**9
GAINS = (1e-9, 1e9)
"""What a camera's gain can be, electrons per count."""
GWIDE = "gwide"
"""The struct that this field's laboratories write: gWide.signal, SweepParam in Hz, Average, AcquisitionFrameRate."""


@dataclass(frozen=True)
class IngestOptions:
    """What the user knows of a file; what is empty is guessed and the guess is noted."""

    signal: str = ""
    """Variable of the counts; dotted or slashed path."""
    frequency: str = ""
    """Variable of the frequencies, or another file that holds them."""
    frequency_unit: str = ""
    """`Hz`, `kHz`, `MHz` or `GHz`."""
    axes: str = ""
    """Order of the signal's axes, such as `yxf`, `xyf` or `fyx`."""
    format: str = ""
    """`gwide`, or empty for any other file."""
    electrons_per_count: float | None = None
    """Camera gain, photo-electrons per count; None: the noise is estimated from the spectra."""
    offset_counts: float = 0.0
    """Counts of a dark frame."""
    read_noise_electrons: float = 0.0
    """Read noise per exposure, electrons."""
    excess_noise_factor: float = 1.0
    """Variance factor of an electron multiplier."""
    accumulations: int | None = None
    """Exposures averaged into each value; None: what the file says, else 1."""


@dataclass(frozen=True)
class Measurement:
    """One sweep from a file."""

    frames: NDArray[Any]
    """(f, y, x) counts, `<u2`, `<u4` or `<f4`."""
    frequency_mhz: NDArray[np.float64]
    """(f,) ascending, MHz."""
    noise: NoiseModel
    """Given or estimated."""
    notes: list[str]
    """What was assumed, one sentence each."""


def read_measurement(path: str | Path, options: IngestOptions | None = None) -> Measurement:
    """Read a measurement.

    Parameters
    ----------
    path
        MAT v5 or v7.3, HDF5, npz, npy, TIFF stack, or columns of text.
    options
        Names, units, axis order and camera.

    Raises
    ------
    IngestError
        One line that says what is wrong and what to do.
    """
    given = options or IngestOptions()
    variables = read_variables(path)
    if given.format not in ("", GWIDE):
        raise IngestError(f"format {given.format!r} is unknown; leave it out or use {GWIDE}")
    notes: list[str] = []
    accumulations = given.accumulations
    if given.format == GWIDE:
        given, accumulations = _gwide(variables, given, notes)
    signal_name = given.signal or _guess_signal(variables, notes)
    signal = variables.get(signal_name)
    axis, name = _frequencies(Path(path), variables, signal, given, notes)
    frequency_mhz, descending, more = frequency_axis(axis, given.frequency_unit, name)
    notes += more
    arranged, more = arrange(signal, len(frequency_mhz), given.axes, signal_name)
    notes += more
    frames, more = counts(arranged[::-1] if descending else arranged, signal_name)
    notes += more
    return Measurement(
        frames,
        frequency_mhz,
        _noise(frames, frequency_mhz, given, 1 if accumulations is None else accumulations, notes),
        notes,
    )


def _gwide(variables: Variables, given: IngestOptions, notes: list[str]) -> tuple[IngestOptions, int | None]:
    """Fill in the names of the gWide struct; what the user gave wins."""
    filled = replace(
        given,
        signal=given.signal or "gWide.signal",
        frequency=given.frequency or "gWide.SweepParam",
        frequency_unit=given.frequency_unit or "Hz",
        axes=given.axes or "yxf",
    )
    if not given.axes:
        notes.append("gwide: axis order taken as y, x, f; some laboratories write x, y, f")
    accumulations = given.accumulations
    if accumulations is None and "gWide.Average" in variables:
        average = float(np.ravel(variables.get("gWide.Average"))[0])
        if not 1 <= average <= MOST_ACCUMULATIONS:
            raise IngestError(f"gWide.Average is {average:g}, no number of exposures; say it with --accumulations")
        accumulations = round(average)
        notes.append(f"gwide: {accumulations} accumulations, from Average")
    if "gWide.AcquisitionFrameRate" in variables:
        rate_hz = float(np.ravel(variables.get("gWide.AcquisitionFrameRate"))[0])
        notes.append(f"gwide: frame rate {rate_hz:g} Hz, from AcquisitionFrameRate")
    return filled, accumulations


def _guess_signal(variables: Variables, notes: list[str]) -> str:
    """Return the one variable that can only be the signal: the only stack, or the second column of a text file."""
    for ndim in (3, 2):
        found = [name for name, shape in variables.shapes.items() if len([n for n in shape if n > 1]) == ndim]
        if len(found) == 1:
            notes.append(f"signal not given: {found[0]!r} is the only variable with {ndim} axes")
            return found[0]
        if found:
            raise IngestError(f"{variables.source} has several signals; name one of {', '.join(found[:20])}")
    if "column_2" in variables.shapes:
        notes.append("signal taken from column 2")
        return "column_2"
    raise IngestError(f"{variables.source} holds no stack of frames; name the signal, it has {variables.listing()}")


def _frequencies(
    path: Path, variables: Variables, signal: NDArray[Any], given: IngestOptions, notes: list[str]
) -> tuple[NDArray[Any], str]:
    """Return the frequency values and their name: a variable, another file, or the one vector that fits."""
    if given.frequency and given.frequency in variables:
        return variables.get(given.frequency), given.frequency
    if given.frequency:
        other = _other_file(path, given.frequency)
        return (_vector(other), other.name) if other else (variables.get(given.frequency), given.frequency)
    if "column_1" in variables.shapes:
        notes.append("frequency taken from column 1")
        return variables.get("column_1"), "column_1"
    found = [name for name, shape in variables.shapes.items() if _fits(variables, name, shape, signal.shape)]
    if len(found) == 1:
        notes.append(f"frequency not given: {found[0]!r} is the only vector that fits")
        return variables.get(found[0]), found[0]
    which = (
        f"name one of {', '.join(found)}"
        if found
        else f"name it, or a file that holds it; it has {variables.listing()}"
    )
    raise IngestError(
        f"{variables.source}: no frequency axis was given and {len(found) or 'no'} variables fit; {which}"
    )


def _fits(variables: Variables, name: str, shape: tuple[int, ...], signal: tuple[int, ...]) -> bool:
    """Say whether a variable can be the frequency axis: a monotonic vector of one axis's length, at microwaves."""
    sizes = [n for n in shape if n > 1]
    if len(sizes) != 1 or sizes[0] not in signal:
        return False
    try:
        frequency_axis(variables.get(name), "", name)
    except IngestError:
        return False
    return True


def _other_file(path: Path, name: str) -> Path | None:
    for candidate in (Path(name), path.parent / name):
        if candidate.is_file():
            return candidate
    if Path(name).suffix in (".npy", ".txt", ".csv", ".dat"):
        raise IngestError(f"no frequency file {name}; check the path")
    return None


def _vector(path: Path) -> NDArray[Any]:
    """Return the one vector of a frequency file, its first column where it has several."""
    variables = read_variables(path)
    vectors = [name for name, shape in variables.shapes.items() if len([n for n in shape if n > 1]) == 1]
    if len(vectors) != 1 and "column_1" not in variables.shapes:
        raise IngestError(f"frequency file {path.name} must hold one vector; it has {variables.listing()}")
    return variables.get(vectors[0] if vectors else "column_1")


def _noise(
    frames: NDArray[Any], frequency_mhz: NDArray[np.float64], given: IngestOptions, accumulations: int, notes: list[str]
) -> NoiseModel:
    _check_camera(given, accumulations)
    if given.electrons_per_count is None:
        noise = estimate_noise(frames, frequency_mhz, given.offset_counts, accumulations)
        notes.append(
            "camera gain not given: noise estimated from the second differences of the spectra, "
            f"{noise.electrons_per_count:g} electrons per count"
        )
        return noise
    return NoiseModel(
        "gain",
        given.electrons_per_count,
        given.offset_counts,
        given.read_noise_electrons,
        given.excess_noise_factor,
        accumulations,
    )


def _check_camera(given: IngestOptions, accumulations: int) -> None:
    """Refuse what no camera has.

    Raises
    ------
    IngestError
        Naming the number and what it may be.
    """
    if not 1 <= accumulations <= MOST_ACCUMULATIONS:
        raise IngestError(f"accumulations must be 1 or more (at most {MOST_ACCUMULATIONS}), not {accumulations}")
    gain, (lowest, highest) = given.electrons_per_count, GAINS
    if gain is not None and not lowest <= gain <= highest:
        raise IngestError(f"camera gain must be above 0 ({lowest:g} to {highest:g} electrons per count), not {gain:g}")
    for name, value in (("offset", given.offset_counts), ("read noise", given.read_noise_electrons)):
        if not np.isfinite(value):
            raise IngestError(f"the camera's {name} must be a number, not {value:g}")
    if gain is None and given.read_noise_electrons:
        raise IngestError("the read noise in electrons needs the camera's gain; give --electrons-per-count too")
