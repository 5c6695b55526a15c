"""Measurements of every format give the same frames; every bad one is refused in one line that says what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile

from stream.ingest import IngestError, IngestOptions, read_measurement

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "widefield-odmr-21x25x200.mat"
FREQUENCY_GHZ = np.linspace(2.8, 3.0, 41)
Y, X, F = 6, 9, 41


def stack(electrons_per_count=8.0, seed=1, shape=(Y, X)) -> np.ndarray:
    """(y, x, f) counts with one line and shot noise."""
    line = 1 - 0.05 / (1 + ((FREQUENCY_GHZ - 2.87) / 0.006) ** 2)
    level = 20_000 * (1 + 0.1 * np.arange(shape[0] * shape[1]).reshape(*shape, 1) / 50) * line
    return np.random.default_rng(seed).poisson(level * electrons_per_count) / electrons_per_count


COUNTS = np.round(stack()).astype("u2")
KNOWN = IngestOptions(signal="M", frequency="Ftot", frequency_unit="GHz", axes="yxf")


def mat5(folder, **variables) -> Path:
    values = {"M": COUNTS, "Ftot": FREQUENCY_GHZ[:, None], "Acc": 30, **variables}
    scipy.io.savemat(folder / "m.mat", {name: value for name, value in values.items() if value is not None})
    return folder / "m.mat"


def mat73(path, values) -> Path:
    """Write as MATLAB 7.3 does: HDF5 behind a 512-byte heading, axes reversed, structs as groups."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_group("#refs#").create_dataset("a", data=np.zeros(3))
        for name, value in values.items():
            file.create_dataset(name.replace(".", "/"), data=np.atleast_2d(value).T)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")
    return path


def hdf5(folder) -> Path:
    with h5py.File(folder / "m.h5", "w") as file:
        file["entry/data/M"] = COUNTS
        file["entry/Ftot"] = FREQUENCY_GHZ
    return folder / "m.h5"


def npz(folder) -> Path:
    np.savez(folder / "m.npz", M=COUNTS, Ftot=FREQUENCY_GHZ)
    return folder / "m.npz"


def npy(folder) -> Path:
    np.save(folder / "m.npy", COUNTS)
    np.savetxt(folder / "f.txt", FREQUENCY_GHZ)
    return folder / "m.npy"


def tiff(folder) -> Path:
    tifffile.imwrite(folder / "m.tif", np.moveaxis(COUNTS, 2, 0))
    np.save(folder / "f.npy", FREQUENCY_GHZ)
    return folder / "m.tif"


FILES = {
    "mat5": (mat5, KNOWN),
    "mat73": (lambda folder: mat73(folder / "m.mat", {"M": COUNTS, "Ftot": FREQUENCY_GHZ[:, None]}), KNOWN),
    "hdf5 slashed": (hdf5, IngestOptions("/entry/data/M", "/entry/Ftot", "GHz", "yxf")),
    "hdf5 dotted": (hdf5, IngestOptions("entry.data.M", "entry.Ftot", "GHz", "yxf")),
    "npz": (npz, KNOWN),
    "npy": (npy, IngestOptions("", "f.txt", "GHz", "yxf")),
    "tiff": (tiff, IngestOptions("", "f.npy", "GHz", "fyx")),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_frames(tmp_path, name):
    make, options = FILES[name]
    found = read_measurement(make(tmp_path), options)
    assert found.frames.dtype == "<u2"
    assert np.array_equal(found.frames, np.moveaxis(COUNTS, 2, 0))
    assert found.frequency_mhz == pytest.approx(FREQUENCY_GHZ * 1000, rel=1e-12)
    assert found.noise.source == "estimated"


@pytest.mark.parametrize("name", FILES)
def test_guesses_are_right_and_stated(tmp_path, name):
    make, options = FILES[name]
    outside = options.frequency if Path(options.frequency).suffix in (".txt", ".npy") else ""
    found = read_measurement(make(tmp_path), IngestOptions(frequency=outside))
    assert np.array_equal(found.frames, np.moveaxis(COUNTS, 2, 0))
    text = "\n".join(found.notes)
    for word in ("signal not given", "unit not given", "axis order not given", "gain not given"):
        assert word in text
    assert bool(outside) or "frequency not given" in text


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".txt", "# f PL\n" + "\n".join(f"{f:.6f} {c}" for f, c in zip(FREQUENCY_GHZ, COUNTS[0, 0], strict=True))),
        (".csv", "freq,PL\n" + "\n".join(f"{f:.6f},{c}" for f, c in zip(FREQUENCY_GHZ, COUNTS[0, 0], strict=True))),
    ],
)
def test_two_columns(tmp_path, suffix, text):
    (tmp_path / f"m{suffix}").write_text(text)
    found = read_measurement(tmp_path / f"m{suffix}", IngestOptions(frequency_unit="GHz"))
    assert found.frames.shape == (F, 1, 1)
    assert found.frames[:, 0, 0].tolist() == COUNTS[0, 0].tolist()


def test_gwide_in_both_formats_and_orders(tmp_path):
    struct = {"signal": COUNTS, "SweepParam": FREQUENCY_GHZ * 1e9, "Average": 20, "AcquisitionFrameRate": 25.0}
    scipy.io.savemat(tmp_path / "g.mat", {"gWide": struct})
    found = read_measurement(tmp_path / "g.mat", IngestOptions(format="gwide"))
    assert np.array_equal(found.frames, np.moveaxis(COUNTS, 2, 0))
    assert found.noise.accumulations == 20
    text = "\n".join(found.notes)
    assert "y, x, f" in text
    assert "20 accumulations" in text
    assert "25 Hz" in text
    assert found.frequency_mhz[0] == pytest.approx(2800)
    new = mat73(tmp_path / "n.mat", {f"gWide.{name}": value for name, value in struct.items()})
    assert np.array_equal(read_measurement(new, IngestOptions(format="gwide")).frames, found.frames)
    scipy.io.savemat(tmp_path / "x.mat", {"gWide": {**struct, "signal": COUNTS.transpose(1, 0, 2)}})
    turned = read_measurement(tmp_path / "x.mat", IngestOptions(format="gwide", axes="xyf", accumulations=5))
    assert np.array_equal(turned.frames, found.frames)
    assert turned.noise.accumulations == 5


def test_descending_frequencies_are_reversed_with_the_signal(tmp_path):
    path = mat5(tmp_path, M=COUNTS[:, :, ::-1], Ftot=FREQUENCY_GHZ[::-1])
    found = read_measurement(path, KNOWN)
    assert np.array_equal(found.frames, np.moveaxis(COUNTS, 2, 0))
    assert "descends" in "\n".join(found.notes)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (COUNTS, "<u2"),
        (COUNTS.astype("f8"), "<u2"),
        (COUNTS.astype("u4") * 100, "<u4"),
        (COUNTS / 30.0, "<f4"),
        (COUNTS.astype("i8"), "<u2"),
    ],
)
def test_the_smallest_dtype_that_holds_the_counts(tmp_path, values, dtype):
    found = read_measurement(mat5(tmp_path, M=values), KNOWN)
    assert found.frames.dtype == np.dtype(dtype)
    assert np.array_equal(found.frames, np.moveaxis(values, 2, 0).astype(dtype))


@pytest.mark.parametrize("electrons", [0.5, 8.0, 40.0])
def test_estimated_noise_is_the_true_one(tmp_path, electrons):
    found = read_measurement(mat5(tmp_path, M=stack(electrons, shape=(30, 30))), KNOWN)
    assert found.noise.electrons_per_count == pytest.approx(electrons, rel=0.05)
    again = read_measurement(mat5(tmp_path, M=stack(electrons, shape=(30, 30))), KNOWN)
    assert again.noise == found.noise


def test_estimated_noise_counts_offset_and_accumulations(tmp_path):
    path = mat5(tmp_path, M=stack(8.0, shape=(30, 30)) + 500.0)
    options = IngestOptions("M", "Ftot", "GHz", "yxf", offset_counts=500.0, accumulations=4)
    noise = read_measurement(path, options).noise
    assert noise.electrons_per_count * noise.accumulations == pytest.approx(8.0, rel=0.05)
    assert (noise.offset_counts, noise.accumulations) == (500.0, 4)


def test_given_gain_is_taken(tmp_path):
    options = IngestOptions("M", "Ftot", "GHz", "yxf", "", 8.0, 100.0, 2.5, 2.0, 30)
    found = read_measurement(mat5(tmp_path), options)
    assert (found.noise.source, found.noise.electrons_per_count, found.noise.read_noise_electrons) == ("gain", 8.0, 2.5)
    assert (found.noise.offset_counts, found.noise.excess_noise_factor, found.noise.accumulations) == (100.0, 2.0, 30)
    assert not any("noise" in note for note in found.notes)


def bad(index, value):
    values = COUNTS.astype("f8")
    values[index] = value
    return values


SHUFFLED = FREQUENCY_GHZ.copy()
SHUFFLED[[3, 4]] = SHUFFLED[[4, 3]]
BAD = {
    "missing signal": ({}, {"signal": "S"}, r"no variable 'S'; it has M 6x9x41, Ftot 41"),
    "missing frequency": ({}, {"frequency": "nu"}, r"no variable 'nu'; it has M"),
    "missing frequency file": ({}, {"frequency": "nu.npy"}, r"no frequency file nu.npy; check the path"),
    "axis mismatch": ({"Ftot": FREQUENCY_GHZ[:-1]}, {}, r"axis 2 has 41 points, the frequency axis 40"),
    "axis mismatch, no order": ({"Ftot": FREQUENCY_GHZ[:-1]}, {"axes": ""}, r"no axis of signal 'M' .* has the 40"),
    "wrong order": ({}, {"axes": "fyx"}, r"axis 0 has 6 points, the frequency axis 41"),
    "impossible order": ({}, {"axes": "yxq"}, r"axis order 'yxq' does not fit"),
    "ambiguous order": ({"M": np.full((41, 41, 5), 9)}, {"axes": ""}, r"several axes of 41 points; .*: fyx or yfx"),
    "too many axes": ({"M": np.full((2, 6, 9, 41), 9)}, {"axes": ""}, r"one to three axes"),
    "NaN": ({"M": bad((1, 2, 3), np.nan)}, {}, r"1 NaN or infinite values, first at frequency 3, y 1, x 2"),
    "infinite": ({"M": bad((1, 2, 3), np.inf)}, {}, r"NaN or infinite"),
    "negative": ({"M": bad((1, 2, 3), -4.0)}, {}, r"1 negative counts, first at frequency 3, y 1, x 2; counts cannot"),
    "zeros": ({"M": np.zeros((6, 9, 41))}, {}, r"zeros only"),
    "complex": ({"M": COUNTS * 1j}, {}, r"holds no real numbers"),
    "not monotonic": ({"Ftot": SHUFFLED}, {}, r"not monotonic: 2.82 is followed by 2.815 at index 4"),
    "repeated": ({"Ftot": np.repeat(FREQUENCY_GHZ[:21], 2)[:41]}, {}, r"not monotonic"),
    "frequency NaN": ({"Ftot": np.r_[FREQUENCY_GHZ[:-1], np.nan]}, {}, r"NaN or infinity at index 40"),
    "GHz called MHz": ({}, {"frequency_unit": "MHz"}, r"2.8 to 3 called MHz, .*did you mean GHz\?"),
    "unknown unit": ({}, {"frequency_unit": "THz"}, r"unit 'THz' is unknown; use one of Hz, kHz, MHz, GHz"),
    "not microwaves": ({"Ftot": np.arange(41.0)}, {"frequency_unit": ""}, r"no unit puts it at microwaves"),
    "short": ({"Ftot": np.array([2.8, 2.9])}, {}, r"vector of at least 5 values"),
    "a stack as frequency": ({}, {"frequency": "M"}, r"frequency 'M' is 6x9x41; give a vector"),
    "no scatter": ({"M": np.full((6, 9, 41), 100)}, {}, r"the noise cannot be estimated"),
    "gain": ({}, {"electrons_per_count": 0.0}, r"gain must be above 0"),
    "infinite gain": ({}, {"electrons_per_count": np.inf}, r"gain must be above 0"),
    "vanishing gain": ({}, {"electrons_per_count": 1e-300}, r"gain must be above 0"),
    "offset": ({}, {"offset_counts": -np.inf}, r"offset must be a number"),
    "read noise": ({}, {"electrons_per_count": 1.0, "read_noise_electrons": np.inf}, r"read noise must be a number"),
    "read noise without gain": ({}, {"read_noise_electrons": 3.0}, r"needs the camera's gain"),
    "accumulations": ({}, {"accumulations": 0}, r"accumulations must be 1 or more"),
    "far too many accumulations": ({}, {"accumulations": 10**20}, r"accumulations must be .*at most 1000000000"),
    "format": ({}, {"format": "foo"}, r"format 'foo' is unknown"),
    "no gWide": ({}, {"format": "gwide", "signal": ""}, r"no variable 'gWide.signal'; it has M"),
    "two signals": ({"N": COUNTS}, {"signal": ""}, r"several signals; name one of M, N"),
    "two frequencies": ({"G": FREQUENCY_GHZ}, {"frequency": ""}, r"2 variables fit; name one of Ftot, G"),
    "no frequency": ({"Ftot": None}, {"frequency": ""}, r"no variables fit; name it, or a file"),
    "no stack": ({"M": None}, {"signal": ""}, r"no stack of frames; name the signal, it has Ftot"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_measurements_are_refused_in_one_line(tmp_path, name):
    variables, changes, message = BAD[name]
    with pytest.raises(IngestError, match=message) as caught:
        read_measurement(mat5(tmp_path, **variables), replace(KNOWN, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("average", [np.nan, -3.0, 0.0, 1e30])
def test_an_average_that_is_no_number_of_exposures_is_refused(tmp_path, average):
    struct = {"signal": COUNTS, "SweepParam": FREQUENCY_GHZ * 1e9, "Average": average}
    scipy.io.savemat(tmp_path / "m.mat", {"gWide": struct})
    with pytest.raises(IngestError, match=r"gWide.Average is .*; say it with --accumulations"):
        read_measurement(tmp_path / "m.mat", IngestOptions(format="gwide"))
    given = read_measurement(tmp_path / "m.mat", IngestOptions(format="gwide", accumulations=4))
    assert given.noise.accumulations == 4


def test_an_empty_signal_and_one_beyond_memory_are_refused_in_one_line(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["Ftot"] = FREQUENCY_GHZ
        file["empty"] = np.zeros((0, 9, 41))
        file.create_dataset("huge", (10**6, 10**6, 41), dtype="f8", chunks=(10, 10, 41))
    for signal, message in (("empty", "'empty' is 0x9x41: it holds no values"), ("huge", "does not fit into memory")):
        with pytest.raises(IngestError, match=message) as caught:
            read_measurement(tmp_path / "m.h5", IngestOptions(signal=signal, frequency="Ftot"))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".mat", ".h5", ".npz", ".npy", ".tif"])
@pytest.mark.parametrize("content", [b"", b"rubbish" * 100, b"PK\x03\x04broken", b"\x89HDF\r\n\x1a\n" + b"x" * 200])
def test_damaged_files_are_refused_in_one_line(tmp_path, suffix, content):
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    with pytest.raises(IngestError, match=r"cannot read damaged") as caught:
        read_measurement(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "no numbers here", "no line of numbers"),
        ("a.txt", "1 2\n3 x\n", "line 2 is not numbers"),
        ("a.txt", "1 2\n3\n", "different lengths"),
        ("a.xyz", "1 2\n", "unknown kind"),
    ],
)
def test_text_and_unknown_files(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(IngestError, match=message):
        read_measurement(tmp_path / name)


def test_absent_file(tmp_path):
    with pytest.raises(IngestError, match="no file"):
        read_measurement(tmp_path / "absent.mat")


def test_truncated_file(tmp_path):
    path = mat5(tmp_path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(IngestError, match="cannot read"):
        read_measurement(path)


@pytest.mark.skipif(not REAL.exists(), reason=f"the real measurement is not at {REAL}")
def test_the_real_file():
    options = IngestOptions("M", "Ftot", "GHz", accumulations=30)
    found = read_measurement(REAL, options)
    assert (found.frames.shape, found.frames.dtype.str) == ((200, 21, 25), "<f4")
    assert (found.frequency_mhz[0], found.frequency_mhz[-1]) == pytest.approx((3080, 3279))
    effective = found.noise.electrons_per_count * found.noise.accumulations
    relative = 1 / np.sqrt(found.frames.mean() * effective)
    assert relative == pytest.approx(0.0022, rel=0.2), "shot noise of about a quarter of a percent"
    guessed = read_measurement(REAL)
    assert np.array_equal(guessed.frames, found.frames)
    assert np.array_equal(guessed.frequency_mhz, found.frequency_mhz)
    with pytest.raises(IngestError, match=r"did you mean GHz\?"):
        read_measurement(REAL, IngestOptions("M", "Ftot", "MHz"))
