"""Control from the live page: a real RunEngine in the main thread, the listener, and requests over real sockets."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager

import pytest
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.utils import RunEngineInterrupted

from deploy.control import NOT_ALLOWED, ControlListener
from deploy.engine import SessionEngine
from devices.rig import Rig
from plans.control import record_requests, with_record
from stream.link_messages import ControlRequest
from stream.settings import StreamSettings
from stream.state import StateAsker, StatePublisher, StateSubscriber


class Site:
    """Engine, listener and a page that asks; `script` runs beside the plan and asks one thing after the other."""

    def __init__(self, settings, allowed=True):
        self.settings = settings
        self.rig = Rig("test")
        self.engine = SessionEngine()
        self.documents = []
        self.engine.subscribe(lambda name, document: self.documents.append((name, document)))
        self.publisher = StatePublisher(settings, "session")
        self.listener = ControlListener(self.engine, self.rig.control, self.publisher, allowed=allowed)
        self.listener.start()
        self.cleaned = 0
        self.passed = threading.Event()

    def ask(self, action, kelvin=0.0, text="", who="Ann"):
        with StateAsker(self.settings, "session") as asker:
            return asker.ask(ControlRequest(action, who, kelvin, text), 10.0)

    def plan(self, points=400):
        def body():
            yield from bps.open_run()
            for _ in range(points):
                yield from bps.checkpoint()
                yield from bps.sleep(0.02)
                self.passed.set()
            yield from record_requests(self.rig)
            yield from bps.close_run()

        def clean():
            self.cleaned += 1
            yield from record_requests(self.rig)

        return bpp.finalize_wrapper(with_record(self.rig, body()), clean)

    def run(self, script, points=400):
        """Run the plan here while `script` asks in a thread; return what it found, and how the plan ended."""
        found, problem = [], []

        def work():
            try:
                assert self.passed.wait(10)
                script(found)
            except BaseException as error:  # noqa: BLE001 - told below
                problem.append(error)
                self.engine.abort("the script failed")

        thread = threading.Thread(target=work)
        thread.start()
        ended = ""
        try:
            self.engine(self.plan(points))
        except RunEngineInterrupted as error:
            ended = str(error) or "interrupted"
        thread.join(20)
        if problem:
            raise problem[0]
        return found, ended

    def wait(self, state):
        end = time.monotonic() + 10
        while self.engine.state != state or (state == "paused" and not self.engine.is_held):
            assert time.monotonic() < end, self.engine.state
            time.sleep(0.01)

    def recorded(self):
        streams = {d["uid"]: d["name"] for name, d in self.documents if name == "descriptor"}
        rows = [d["data"] for name, d in self.documents if name == "event" and streams[d["descriptor"]] == "control"]
        return [(row["control_action"], row["control_who"], row["control_text"]) for row in rows], rows

    def stop_document(self):
        return next(document for name, document in self.documents if name == "stop")

    def close(self):
        self.listener.close()
        self.publisher.close()


@contextmanager
def running(tmp_path, allowed=True):
    site = Site(StreamSettings(runtime_dir=str(tmp_path / "run"), data_dir=str(tmp_path)), allowed)
    try:
        yield site
    finally:
        site.close()


def test_pause_marker_and_resume_are_done_and_recorded_with_who_and_when(tmp_path):
    with running(tmp_path) as site:
        began = time.time()

        def script(found):
            found.append(site.ask("pause"))
            site.wait("paused")
            found.append(site.ask("pause", who="Ben"))
            found.append(site.ask("marker", text=" laser   realigned "))
            found.append(site.ask("resume", who="Ben"))
            site.wait("running")

        found, ended = site.run(script, points=60)
        assert ended == ""
        assert [reply.accepted for reply in found] == [True, False, True, True]
        assert "paused already" in found[1].said
        told, rows = site.recorded()
        assert told == [("pause", "Ann", ""), ("marker", "Ann", "laser realigned"), ("resume", "Ben", "")]
        assert all(began <= row["control_asked_s"] <= time.time() for row in rows)
        assert site.stop_document()["exit_status"] == "success"
        with StateSubscriber(site.settings, sources=("session",)) as viewer:
            end = time.monotonic() + 10
            while ("session", "events") not in viewer.latest and time.monotonic() < end:
                viewer.poll(0.2)
            lines = [event["text"] for event in viewer.latest["session", "events"].header["events"]]
        assert "Ann at the live page: marker: laser realigned" in lines
        assert any(line.startswith("Ben: pause refused") for line in lines)


@pytest.mark.parametrize(("action", "status"), [("stop", "success"), ("abort", "abort")])
@pytest.mark.parametrize("first", ["running", "paused"])
def test_halting_works_in_any_state_and_the_clean_up_runs(tmp_path, action, status, first):
    with running(tmp_path) as site:

        def script(found):
            if first == "paused":
                site.ask("pause")
                site.wait("paused")
            found.append(site.ask(action, who=""))
            site.wait("idle")

        found, ended = site.run(script)
        assert found[0].accepted
        assert ended == f"{action} asked for by somebody at the live page"
        assert site.cleaned == 1
        assert site.stop_document()["exit_status"] == status
        assert site.recorded()[0][-1] == (action, "somebody", "")


def test_a_plan_paused_at_the_terminal_is_resumed_there_but_halted_from_anywhere(tmp_path):
    with running(tmp_path) as site:

        def interrupt(_found):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        _, ended = site.run(interrupt)
        assert "paused" in ended
        assert site.engine.state == "paused"
        refused = site.ask("resume")
        assert not refused.accepted
        assert "terminal" in refused.said
        assert site.ask("abort").accepted
        site.wait("idle")
        assert site.cleaned == 1


def test_ctrl_c_takes_a_held_plan_back_to_the_prompt(tmp_path):
    with running(tmp_path) as site:

        def script(_found):
            site.ask("pause")
            site.wait("paused")
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        _, ended = site.run(script)
        assert site.engine.state == "paused"
        assert "paused" in ended
        assert "terminal" in site.ask("resume").said
        site.engine.ask_field = None
        site.engine.abort("done")


def test_a_termination_ends_a_held_plan_safely(tmp_path):
    with running(tmp_path) as site:

        def script(_found):
            site.ask("pause")
            site.wait("paused")
            signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)

        with pytest.raises(SystemExit):
            site.run(script)
        assert site.engine.state == "idle"
        assert site.cleaned == 1


def test_what_cannot_be_done_is_refused_with_the_reason(tmp_path):
    with running(tmp_path) as site:
        for action, why in (
            ("pause", "no plan runs"), ("resume", "no plan is paused"), ("stop", "no plan runs"),
            ("abort", "no plan runs"), ("pin", "no running plan chooses"), ("veto", "no running plan chooses"),
            ("marker", "no run is under way"), ("fire", "nothing that can be asked for"),
        ):  # fmt: skip
            reply = site.ask(action, 50.0, "text")
            assert not reply.accepted
            assert why in reply.said


def test_without_permission_everything_is_refused(tmp_path):
    with running(tmp_path, allowed=False) as site:
        reply = site.ask("abort")
        assert (reply.accepted, reply.said) == (False, NOT_ALLOWED)
