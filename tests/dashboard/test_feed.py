"""The thread behind the page: it says who is heard, and it does not die."""

from __future__ import annotations

import math
import threading

from serving import HandSubscriber

from dashboard.feed import GATHER_S, POLL_S, SILENT_S, SOURCES_S, Feed
from stream.state_server import BEAT_S


class Sink:
    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.updates = []
        self.existing = frozenset()

    def __call__(self, updates, existing) -> None:
        with self.condition:
            self.updates += updates
            self.existing = existing
            self.condition.notify_all()

    def until(self, check):
        with self.condition:
            assert self.condition.wait_for(check, 5.0)


def test_updates_and_who_is_heard_are_passed_on():
    subscriber, sink = HandSubscriber(), Sink()
    feed = Feed(lambda: subscriber, sink)
    feed.start()
    subscriber.publish("builder", "run", {"run_uid": "u"}, {})
    sink.until(lambda: {"run", "sources"} <= {update.channel for update in sink.updates})
    assert sink.existing == {("builder", "run"), ("web", "sources")}
    heard = next(update for update in sink.updates if update.channel == "sources")
    assert heard.header["silence_s"] == subscriber.silence_s()
    feed.close()


def test_a_killed_publisher_is_called_lost_within_two_seconds_and_no_living_one_is():
    rounds_s = math.ceil(SOURCES_S / POLL_S) * POLL_S  # how often it is said, where nothing else comes
    assert SILENT_S + rounds_s + GATHER_S < 1.9  # the rest is for the browser
    assert SILENT_S > 2 * BEAT_S  # one beat that is late is no death


def test_a_state_plane_that_fails_is_connected_to_again(caplog):
    subscribers = []

    class Failing(HandSubscriber):
        def poll(self, timeout_s):
            raise RuntimeError("socket gone")

    def connect():
        subscribers.append(Failing() if not subscribers else HandSubscriber())
        return subscribers[-1]

    sink = Sink()
    feed = Feed(connect, sink)
    feed.start()
    sink.until(lambda: len(subscribers) == 2 and sink.updates)
    feed.close()
    assert "connecting again" in caplog.text
