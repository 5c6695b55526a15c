"""What goes over the websocket: pixel codes and the binary form."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dashboard import colour
from dashboard.encode import EXCLUDED, NOTHING, UNRESOLVED, clean, encode_update, map_pixels, pack, unpack, unpack_all
from stream.messages import StateUpdate

NAMES = ["OK", "LOW_SNR", "OCCLUDED", "NOT_YET_MEASURED"]


@given(hnp.arrays(np.float32, (4, 5), elements=st.floats(-1e3, 1e3, width=32)))
def test_values_come_back_within_half_a_step(values):
    pixels = map_pixels(values)
    back = pixels.low + (pixels.codes.astype(float) - 3) / 65532 * (pixels.high - pixels.low)
    assert np.abs(back - values).max() <= (pixels.high - pixels.low) * 1e-5 + 1e-3


def test_a_nan_is_what_its_status_says():
    value = np.array([[1.0, np.nan, np.nan, np.nan]], np.float32)
    codes = map_pixels(value, np.array([[0, 1, 2, 3]], np.uint8), NAMES).codes
    assert codes[0, 0] > 2
    assert codes[0, 1:].tolist() == [UNRESOLVED, EXCLUDED, NOTHING]
    assert map_pixels(value).codes[0, 1:].tolist() == [NOTHING] * 3


def test_a_stray_pixel_does_not_cost_the_others_their_resolution():
    value = np.full((10, 10), 1.0, np.float32)
    value[0, 0], value[0, 1] = 1e6, 1.001
    pixels = map_pixels(value, limits=(0.92, 1.08))
    assert pixels.high < 2.0
    assert int(pixels.codes[0, 1]) - int(pixels.codes[1, 1]) > 30


def test_an_empty_map_has_limits_and_only_nothing():
    pixels = map_pixels(np.full((3, 3), np.nan, np.float32), limits=(0.92, 1.08))
    assert (pixels.low, pixels.high) == (0.92, 1.08)
    assert not pixels.codes.any()


@given(
    st.dictionaries(
        st.sampled_from("abcde"),
        hnp.arrays(
            st.sampled_from(["<f8", "<f4", "<u2", "|u1", "<i4"]),
            hnp.array_shapes(max_dims=3, max_side=5),
            fill=st.just(1),
        ),
    ),
    st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=4),
)
def test_pack_and_unpack_are_inverse(arrays, header):
    envelope, back = unpack(pack({"channel": "x", "header": header}, arrays))
    assert envelope["header"] == header
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)


def test_arrays_are_aligned_so_that_a_browser_can_view_them():
    data = pack({"channel": "x"}, {"a": np.zeros(3, "u1"), "b": np.zeros(3, "f8")})
    length, whole = np.frombuffer(data, "<u4", 2).tolist()
    assert length % 8 == 0
    assert whole == len(data)
    assert whole % 8 == 0
    assert all(entry["offset"] % 8 == 0 for entry in json.loads(data[8 : 8 + length])["arrays"])


def test_packets_stand_one_after_the_other():
    both = pack({"channel": "x"}, {"a": np.arange(3, dtype="u1")}) + pack({"channel": "y"}, {"b": np.arange(5.0)})
    assert [envelope["channel"] for envelope, _ in unpack_all(both)] == ["x", "y"]
    assert unpack_all(both)[1][1]["b"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert unpack_all(b"") == []


@pytest.mark.parametrize("constant", [0.0, 1e-30, 1e20, -3e38])
def test_a_map_of_one_value_has_codes(constant):
    pixels = map_pixels(np.full((2, 2), constant, np.float32))
    assert pixels.high > pixels.low
    assert (pixels.codes == 3).all()
    endless = map_pixels(np.array([[np.inf, 1.0, 2.0]], np.float32))
    assert endless.codes.tolist() == [[NOTHING, 3, 65535]]


def test_integers_of_eight_bytes_become_floats():
    envelope, back = unpack(pack({}, {"n": np.array([1, 2**40])}))
    assert envelope["arrays"][0]["dtype"] == "f8"
    assert back["n"].tolist() == [1.0, 2.0**40]


def test_numbers_that_are_not_finite_are_null():
    assert clean({"a": float("nan"), "b": [np.float64("inf"), np.int64(3)]}) == {"a": None, "b": [None, 3]}


def test_a_map_update_is_sent_as_pixels_and_a_curve_as_it_is():
    value = np.array([[0.95, np.nan]], np.float32)
    header = {"run_uid": "u", "status_names": NAMES}
    update = StateUpdate("builder", "e", 7, "map/s", 1.0, header, {"value": value, "status": np.array([[0, 1]], "u1")})
    envelope, arrays = unpack(encode_update(update, (0.92, 1.08)))
    assert (envelope["channel"], envelope["sequence"], envelope["time_s"]) == ("map/s", 7, 1.0)
    assert arrays["value"].dtype == np.dtype("<u2")
    assert arrays["value"][0, 1] == UNRESOLVED
    _, arrays = unpack(encode_update(update, (0.92, 1.08), missing="nothing"))
    assert arrays["value"][0, 1] == NOTHING
    curve = StateUpdate("builder", "e", 8, "curve/s", 1.0, {}, {"s": np.ones((2, 3), np.float32)})
    assert unpack(encode_update(curve))[1]["s"].dtype == np.dtype("<f4")


def test_the_diverging_table_is_matplotlibs():
    matplotlib = pytest.importorskip("matplotlib")
    theirs = matplotlib.colormaps["RdBu_r"](np.arange(256), bytes=True)[:, :3]
    assert np.abs(colour.table("RdBu_r").astype(int) - theirs).max() <= 1


def test_every_table_is_whole_and_its_lightness_does_not_jump():
    for name in colour.names():
        table = colour.table(name)
        assert (table.shape, table.dtype) == ((256, 3), np.dtype("u1"))
        lightness = table @ np.array([0.2126, 0.7152, 0.0722])
        assert np.abs(np.diff(lightness)).max() < 6
    with pytest.raises(KeyError):
        colour.table("jet")
