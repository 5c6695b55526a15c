"""The state plane: whoever listens has the newest value of every channel, whatever was missed."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import zmq

from stream.codec import CodecError, decode, encode
from stream.link_messages import Refusal
from stream.messages import Severity, SpectrumReply, SpectrumRequest
from stream.settings import StreamSettings
from stream.state import StateAsker, StatePublisher, StateSubscriber
from tests.stream.wire import wait_for

pytestmark = pytest.mark.timeout(120)
REQUEST = SpectrumRequest("run", 3, 0, 1, 0, 1)
REPLY = SpectrumReply("run", 3, 0, 1, 0, 1, np.arange(3.0), *[np.ones(3, "f4")] * 3, {"s": 1.0}, "OK")


@pytest.fixture
def settings(tmp_path):
    return StreamSettings(str(tmp_path / "r"), str(tmp_path / "d"))


def until(subscriber, source, channel, condition, timeout_s=30.0):
    def look():
        subscriber.poll(0.05)
        update = subscriber.latest.get((source, channel))
        return update if update is not None and condition(update) else None

    return wait_for(look, timeout_s, f"{source} {channel}")


def test_a_late_joiner_has_the_whole_picture_and_then_every_change(settings):
    with StatePublisher(settings, "builder") as publisher:
        for number in range(50):
            publisher.publish(f"map/{number}", {"n": number}, {"value": np.full((4, 5), number, "f4")})
        publisher.publish("map/7", {"n": 700}, {"value": np.full((4, 5), 700, "f4")})
        with StateSubscriber(settings, ["builder"]) as subscriber:
            began = time.monotonic()
            until(subscriber, "builder", "map/49", lambda u: u.header["n"] == 49)
            assert time.monotonic() - began < 5
            assert len(subscriber.latest) == 50
            assert (subscriber.latest["builder", "map/7"].arrays["value"] == 700).all()
            publisher.publish("map/8", {"n": 8.5})
            update = until(subscriber, "builder", "map/8", lambda u: u.header["n"] == 8.5)
            assert (update.source, update.sequence, update.epoch) == ("builder", 52, publisher.epoch)


def test_no_change_is_reported_twice_and_the_order_is_kept(settings):
    with StatePublisher(settings, "camera") as publisher, StateSubscriber(settings, ["camera"]) as subscriber:
        publisher.publish("a", {"n": 0})
        until(subscriber, "camera", "a", lambda u: True)
        seen = []
        for number in range(1, 100):
            publisher.publish("ab"[number % 2], {"n": number})

        def drained():
            seen.extend(subscriber.poll(0.02))
            return seen and seen[-1].header["n"] == 99

        wait_for(drained, 30, "last update")
        numbers = [update.sequence for update in seen]
        assert numbers == sorted(set(numbers))


def test_the_caller_may_reuse_its_arrays_at_once(settings):
    with StatePublisher(settings, "builder") as publisher, StateSubscriber(settings, ["builder"]) as subscriber:
        value = np.zeros((100, 100), "f4")
        for number in range(20):
            value[:] = number
            publisher.publish(f"m/{number}", {"n": number}, {"value": value})
        until(subscriber, "builder", "m/19", lambda u: True)
        for number in range(20):
            assert (subscriber.latest["builder", f"m/{number}"].arrays["value"] == number).all()


def test_a_listener_that_slept_through_a_flood_heals(settings):
    with StatePublisher(settings, "builder") as publisher, StateSubscriber(settings, ["builder"]) as subscriber:
        publisher.publish("first", {"n": 0})
        until(subscriber, "builder", "first", lambda u: True)
        value = np.zeros(200_000, "f4")
        began = time.monotonic()
        for number in range(600):
            publisher.publish(f"flood/{number % 3}", {"n": number}, {"value": value})
        assert time.monotonic() - began < 20
        publisher.publish("last", {"n": 1})
        until(subscriber, "builder", "last", lambda u: True)
        assert [subscriber.latest["builder", f"flood/{i}"].header["n"] for i in range(3)] == [597, 598, 599]


def test_a_publisher_that_begins_again_replaces_its_picture(settings):
    with StateSubscriber(settings, ["builder", "session"]) as subscriber:
        with StatePublisher(settings, "builder") as publisher:
            publisher.publish("old", {"n": 1})
            publisher.publish("both", {"n": 1})
            until(subscriber, "builder", "both", lambda u: True)
        with StatePublisher(settings, "builder") as publisher:
            publisher.publish("both", {"n": 2})
            until(subscriber, "builder", "both", lambda u: u.header["n"] == 2)
            assert ("builder", "old") not in subscriber.latest


def test_forgotten_channels_leave_every_listener(settings):
    with StatePublisher(settings, "builder") as publisher, StateSubscriber(settings, ["builder"]) as subscriber:
        publisher.publish("film/0001", {"n": 1})
        publisher.publish("map/s", {"n": 1})
        until(subscriber, "builder", "map/s", lambda u: True)
        publisher.forget("film/")
        wait_for(
            lambda: subscriber.poll(0.05) is not None and ("builder", "film/0001") not in subscriber.latest, 30, "gone"
        )
        assert ("builder", "map/s") in subscriber.latest


def test_events_keep_their_last_lines(settings):
    with StatePublisher(settings, "camera") as publisher, StateSubscriber(settings, ["camera"]) as subscriber:
        for number in range(250):
            publisher.event(Severity.MINOR, f"line {number}")
        update = until(subscriber, "camera", "events", lambda u: u.header["events"][-1]["text"] == "line 249")
        lines = update.header["events"]
        assert len(lines) == 200
        assert (lines[0]["text"], lines[0]["severity"], lines[0]["source"]) == ("line 50", "MINOR", "camera")


def test_many_threads_may_publish(settings):
    with StatePublisher(settings, "monitor") as publisher, StateSubscriber(settings, ["monitor"]) as subscriber:

        def work(name):
            for number in range(100):
                publisher.publish(f"device/{name}", {"n": number})

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        for name in "abcd":
            until(subscriber, "monitor", f"device/{name}", lambda u: u.header["n"] == 99)


def test_questions_find_their_answers(settings):
    with StatePublisher(settings, "builder") as publisher, StateAsker(settings, "builder") as asker:
        stop = threading.Event()

        def serve():
            while not stop.is_set():
                for token, message in publisher.requests():
                    assert message == REQUEST
                    publisher.reply(token, REPLY)
                stop.wait(0.005)

        server = threading.Thread(target=serve)
        server.start()
        try:
            for _ in range(5):
                answer = asker.ask(REQUEST, 30)
                assert isinstance(answer, SpectrumReply)
                assert answer.values == {"s": 1.0}
        finally:
            stop.set()
            server.join(10)


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(settings):
    with StatePublisher(settings, "builder") as publisher, StateAsker(settings, "builder") as asker:
        with pytest.raises(TimeoutError, match="builder did not answer"):
            asker.ask(REQUEST, 0.05)
        (token, _) = wait_for(publisher.requests, 30, "the question")[0]
        publisher.reply(token, Refusal("late", "too late"))
        with pytest.raises(TimeoutError):
            asker.ask(REQUEST, 0.3)


def test_a_silent_source_is_no_error(settings):
    with StateSubscriber(settings) as subscriber:
        assert subscriber.poll(0.05) == []
        with StateAsker(settings, "session") as asker, pytest.raises(TimeoutError):
            asker.ask(REQUEST, 0.05)


def test_hostile_bytes_at_the_ask_socket_are_refused(settings):
    with StatePublisher(settings, "builder") as publisher, StateSubscriber(settings, ["builder"]) as subscriber:
        context = zmq.Context()
        socket = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(settings.endpoint("state-builder-ask"))
        for parts in ([b"x"], [b"n", b"\xff\xff"], [b"n", b"", b""], [b"n", *encode(REPLY)[:2]]):
            socket.send_multipart(parts)
        assert socket.poll(10_000)
        answer = socket.recv_multipart()
        assert isinstance(decode(answer[1:]), Refusal)
        publisher.publish("a", {"n": 1})
        until(subscriber, "builder", "a", lambda u: True)
        socket.close()
        context.term()


def test_what_cannot_travel_is_refused_at_once(settings):
    with StatePublisher(settings, "builder") as publisher:
        with pytest.raises(CodecError):
            publisher.publish("a", {"x": object()})
        with pytest.raises(CodecError):
            publisher.publish("a", {}, {"x": np.array([object()])})
