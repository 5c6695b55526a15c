"""DECTRIS Stream V2: series become sweeps; what is lost or wrong ends them with a reason; hostile bytes harm nobody."""

from __future__ import annotations

import sys

import cbor2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.dectris import DectrisError, DectrisSource, SeriesEnd, SeriesImage, SeriesStart, Unpacker
from stream.live_frames import SourceLost
from tests.stream import detector as sim
from tests.stream.wire import known_frame, wait_for

SHAPE = (24, 16)


@pytest.fixture
def detector():
    with sim.Detector() as running:
        yield running


@pytest.fixture
def source(detector):
    made = DectrisSource(detector.endpoint, SHAPE, "<u2")
    yield made
    made.close()


def frames(count: int) -> list[np.ndarray]:
    return [known_frame(0, 0, number, *SHAPE) for number in range(count)]


def series(number: int, images: list[np.ndarray], compression: str = "") -> list[bytes]:
    body = [sim.image(number, n, {"threshold_1": image}, compression) for n, image in enumerate(images)]
    return [sim.start(number, len(images), SHAPE), *body, sim.end(number)]


@pytest.mark.parametrize("compression", ["", "bslz4", "lz4"])
def test_a_series_is_a_sweep(detector, source, compression):
    images = frames(12)
    detector.send(*series(1, images, compression))  # nobody armed: dropped
    for number in (2, 3):
        # what came before is through once a later message is: the source takes them in order
        detector.send(b"mark")
        until(lambda least=number - 1: source.malformed >= least)
        source.queue.open(12)
        detector.send(*series(number, images, compression))
        taken = [source.queue.take(20) for _ in range(12)]
        assert all(np.array_equal(a, b) and a.dtype == "<u2" for a, b in zip(taken, images, strict=True))
    assert source.queue.strays == 13


def until(condition) -> None:
    wait_for(condition, 20, "the detector's messages")


@pytest.mark.parametrize(
    ("change", "good", "said"),
    [
        (lambda m: [*m[:4], *m[5:]], 3, r"frame 3 of 6 \(1 in all\) were lost before they came here"),
        (lambda m: [*m[:5], sim.end(7)], 4, "frame 4 of 6 does not come: the detector ended the series"),
        (lambda m: [*m[:3], b"\xff"], 2, "frame 2 of 6 does not come: not CBOR"),
        (lambda m: [sim.start(7, 5, SHAPE), *m[1:]], 0, "the series has 5 images of 16 x 24, not 6 of 16 x 24"),
        (lambda m: [sim.start(7, 6, (8, 8))], 0, "the series has 6 images of 8 x 8"),
        (lambda m: [*m[:3], sim.start(8, 6, SHAPE)], 2, "the detector began series 8"),
        (
            lambda m: [m[0], sim.image(7, 0, {"a": frames(1)[0], "b": frames(1)[0]})],
            0,
            "no channel '' in the image; it has a, b",
        ),
        (lambda m: [m[0], sim.image(7, 0, {"a": np.zeros(SHAPE, "<u4")})], 0, "has .* pixels of uint32, not"),
        (lambda m: [m[0], sim.image(7, 0, {"a": np.zeros((2, 2), "<u2")})], 0, "the image has 2 x 2 pixels"),
    ],
)
def test_what_is_lost_or_wrong_ends_the_sweep_behind_the_good_frames(detector, source, change, good, said):
    images = frames(6)
    source.queue.open(6)
    detector.send(*change(series(7, images)))
    for image in images[:good]:
        assert np.array_equal(source.queue.take(20), image)
    with pytest.raises(SourceLost, match=said):
        source.queue.take(20)
    # the next sweep is none the worse
    source.queue.open(6)
    detector.send(*series(9, images))
    assert all(np.array_equal(source.queue.take(20), image) for image in images)


def test_images_of_a_series_whose_sweep_is_over_are_no_frames_of_the_next(detector, source):
    images, others = frames(6), [image + 1 for image in frames(6)]
    first = series(7, images)
    source.queue.open(6)
    detector.send(*first[:3])
    assert all(np.array_equal(source.queue.take(20), image) for image in images[:2])
    source.queue.give_up()
    source.queue.open(6)
    detector.send(*first[3:], *series(8, others))
    assert all(np.array_equal(source.queue.take(20), image) for image in others)


def test_more_frames_than_may_wait_are_said_and_none_is_kept_beyond(detector):
    source = DectrisSource(detector.endpoint, SHAPE, "<u2", limit_bytes=4 * 2 * SHAPE[0] * SHAPE[1])
    try:
        source.queue.open(10)
        detector.send(*series(1, frames(10)))
        until(lambda: not source.queue.waited_for)
        assert all(np.array_equal(source.queue.take(1), image) for image in frames(4))
        with pytest.raises(SourceLost, match="frame 4 of 10 finds no room: 4 frames wait"):
            source.queue.take(1)
    finally:
        source.close()


def test_wider_numbers_hold_narrower_ones(detector):
    source = DectrisSource(detector.endpoint, SHAPE, "<u4", channel="low")
    try:
        source.queue.open(3)
        low = [np.full(SHAPE, 250, "|u1"), np.full(SHAPE, 60_000, ">u2"), np.full(SHAPE, 2**31, "<u4")]
        images = [sim.image(1, n, {"high": low[0], "low": pixels}) for n, pixels in enumerate(low)]
        detector.send(sim.start(1, 3, SHAPE), *images)
        for pixels in low:
            taken = source.queue.take(20)
            assert taken.dtype == "<u4"
            assert np.array_equal(taken, pixels)
    finally:
        source.close()


def test_a_missing_package_and_a_wrong_address_are_one_clear_line(monkeypatch):
    message = sim.image(1, 0, {"a": frames(1)[0]}, "bslz4")
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(
        DectrisError, match=r"need the package hdf5plugin: .venv/bin/pip install -c constraints.txt -e '.\[dectris\]'"
    ):
        Unpacker(SHAPE).unpack(message)
    with pytest.raises(SourceLost, match="'nowhere' is no address of a detector"):
        DectrisSource("nowhere", SHAPE, "<u2")


PLAIN = [sim.start(1, 4, SHAPE), sim.image(1, 0, {"a": frames(1)[0]}), sim.end(1)]
PACKED = [sim.image(1, 0, {"a": frames(1)[0]}, name) for name in ("bslz4", "lz4")]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PLAIN + PACKED), st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=6))
def test_changed_bytes_are_refused_or_an_image_of_the_right_form(message, changes):
    raw = bytearray(message)
    for place, value in changes:
        raw[place % len(raw)] = value
    unpacker = Unpacker(SHAPE)
    try:
        read = unpacker.unpack(bytes(raw))
    except DectrisError:
        return
    finally:
        unpacker.close()
    assert isinstance(read, SeriesStart | SeriesImage | SeriesEnd)
    assert not isinstance(read, SeriesImage) or read.pixels.shape == SHAPE


HOSTILE = {
    "a size of exabytes": lambda: body(cbor2.CBORTag(69, cbor2.CBORTag(56500, ["bslz4", 2, b"\x7f" * 40]))),
    "another size": lambda: body(cbor2.CBORTag(69, b"\0" * 10)),
    "another compression": lambda: body(cbor2.CBORTag(69, cbor2.CBORTag(56500, ["zip", 2, b""]))),
    "64 bits": lambda: body(cbor2.CBORTag(71, b"\0" * 8 * SHAPE[0] * SHAPE[1])),
    "columns first": lambda: body(cbor2.CBORTag(69, frames(1)[0].tobytes()), tag=1040),
    "no shape": lambda: body(cbor2.CBORTag(69, b""), shape=[]),
    "a shape of texts": lambda: body(cbor2.CBORTag(69, b""), shape=["a", "b"]),
    "a list": lambda: cbor2.dumps([1]),
    "no type": lambda: cbor2.dumps({}),
    "another type": lambda: cbor2.dumps({"type": "x" * 1000}),
    "a negative number": lambda: cbor2.dumps({"type": "end", "series_id": -1}),
    "no number": lambda: cbor2.dumps({"type": "end", "series_id": True}),
    "a date that is none": lambda: b"\xa1\x64type\xc0\x61x",
}


def body(typed: cbor2.CBORTag, tag: int = 40, shape: list | None = None) -> bytes:
    array = cbor2.CBORTag(tag, [list(SHAPE) if shape is None else shape, typed])
    return cbor2.dumps({"type": "image", "series_id": 1, "image_id": 0, "data": {"a": array}})


@pytest.mark.parametrize("name", HOSTILE)
def test_well_formed_but_insane_messages_are_refused(name):
    with pytest.raises(DectrisError) as refused:
        Unpacker(SHAPE).unpack(HOSTILE[name]())
    assert len(str(refused.value)) < 200
