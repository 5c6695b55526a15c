"""Latest wins, one credit, and what is gone is gone."""

from __future__ import annotations

import numpy as np
import pytest
from websockets.frames import Frame, Opcode

from dashboard.encode import unpack_all
from dashboard.hub import OURS, Hub, Viewer
from dashboard.shared_frames import frame
from dashboard.views import VIEWS, page_description, view_of
from stream.messages import StateUpdate


def update(channel, sequence, source="builder", **header):
    return StateUpdate(source, "e", sequence, channel, float(sequence), header, {})


def names(batch):
    return [envelope["channel"] for envelope, _ in packets(batch)]


def packets(batch):
    return unpack_all(bytes(batch[1]))[1:]


def test_a_viewer_gets_the_newest_of_each_channel_it_wants_once():
    hub, viewer = Hub(), Viewer(wanted=frozenset({"map/s", "device/"}))
    for number, channel in enumerate(["map/s", "map/s", "map/chi2", "device/laser", "map/s"]):
        hub.put(update(channel, number))
    batch = hub.take(viewer)
    assert sorted(names(batch)) == ["device/laser", "map/s"]
    assert {envelope["sequence"] for envelope, _ in packets(batch)} == {3, 4}
    assert hub.take(viewer) is None
    hub.put(update("device/laser", 9))
    assert names(hub.take(viewer)) == ["device/laser"]


def test_the_same_bytes_go_to_all():
    hub = Hub()
    hub.put(StateUpdate("builder", "e", 1, "map/s", 1.0, {}, {"value": np.ones((8, 8), np.float32)}))
    first, second = (hub.take(Viewer(wanted=frozenset({"map/s"}))) for _ in range(2))
    assert first[0] is second[0]


@pytest.mark.parametrize("length", [0, 5, 125, 126, 65535, 65536, 70000])
def test_the_shared_frame_is_that_of_the_library(length):
    data = bytes(range(256)) * 300
    parts = (data[: length // 3], data[length // 3 : length])
    framed, message = frame(parts)
    assert framed == Frame(Opcode.BINARY, data[:length]).serialize(mask=False)
    assert message == data[:length]


def test_events_of_each_publisher_are_kept_apart():
    hub, viewer = Hub(), Viewer(wanted=frozenset({"events/"}))
    hub.put(update("events", 1, "builder"))
    hub.put(update("events", 1, "session"))
    assert len(names(hub.take(viewer))) == 2


def test_an_old_acknowledgement_frees_nothing():
    viewer = Viewer(unacknowledged=3)
    viewer.acknowledge(2)
    assert viewer.unacknowledged == 3
    viewer.acknowledge(3)
    assert viewer.unacknowledged == 0


def test_what_a_publisher_dropped_is_told_once():
    hub, viewer = Hub(), Viewer(wanted=frozenset({"film/", "run"}))
    hub.viewers.add(viewer)
    both = {("builder", "film/0001"), ("builder", "run")}
    hub.put_all([update("film/0001", 1), update("run", 2)], both)
    hub.take(viewer)
    assert hub.gone(viewer) == []
    hub.put_all([update("run", 3)], {("builder", "run")})
    assert hub.gone(viewer) == ["film/0001"]
    assert hub.gone(viewer) == []
    assert names(hub.take(viewer)) == ["run"]


def test_a_channel_that_is_dropped_takes_no_other_along_whose_name_begins_like_it():
    hub = Hub()
    both = {("builder", "map/s"), ("builder", "map/sigma_zz"), ("builder", "run")}
    hub.put_all([update(name, number) for number, (_, name) in enumerate(sorted(both))], both)
    hub.put(update("runs", 9, OURS))
    hub.put_all([], {("builder", "map/sigma_zz")})
    assert [name for name in ("map/s", "map/sigma_zz", "run", "runs") if name in hub] == ["map/sigma_zz", "runs"]


def test_nothing_grows_while_a_viewer_sleeps():
    hub, viewer = Hub(), Viewer(wanted=frozenset({"map/s"}))
    hub.viewers.add(viewer)
    for number in range(1000):
        hub.put(update("map/s", number))
    assert len(names(hub.take(viewer))) == 1


def test_views_are_declared_whole():
    keys = [view.key for view in VIEWS]
    assert len(set(keys)) == len(keys)
    description = page_description()
    tables = description["colour"]["tables"]
    for view in VIEWS:
        assert view.waits_for
        assert view.title
        assert view.kind != "map" or view.colours in tables
    s = view_of("map/s")
    assert s is not None
    assert s.limits == (0.92, 1.08)
    film = view_of("film/0003")
    assert film is not None
    assert film.limits == s.limits
    assert view_of("map/none") is None
