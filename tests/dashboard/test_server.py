"""The web server from outside: what it refuses, that a slow viewer costs nobody anything, that it starts and ends."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections import deque

import httpx
import numpy as np
import pytest
from experiment import Experiment
from web_process import free_port, wait_ready, web_process
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from dashboard.encode import unpack_all
from stream.messages import SpectrumRequest
from stream.state import StatePublisher


def dial(port, origin=None, **options):
    origin = f"http://127.0.0.1:{port}" if origin is None else origin
    return connect(f"ws://127.0.0.1:{port}/state", origin=origin or None, proxy=None, max_size=None, **options)


class Client:
    """A browser without a picture."""

    def __init__(self, port, channels=("map/", "film/", "device/", "run", "sweep", "plan")) -> None:
        self.channels = channels
        self.dialled = dial(port)

    def __enter__(self):
        self.socket = self.dialled.__enter__()
        self.socket.send(json.dumps({"show": list(self.channels)}))
        return self

    def __exit__(self, *error) -> None:
        self.dialled.__exit__(*error)

    def batch(self, timeout_s=5.0):
        """Return the next batch: channel -> (envelope, arrays), acknowledged; and what was said in text before it."""
        end = time.monotonic() + timeout_s
        told = {"gone": []}
        while True:
            said = self.socket.recv(timeout=max(0.01, end - time.monotonic()))
            if isinstance(said, str):
                beat = json.loads(said)
                told = beat | {"gone": told["gone"] + beat["gone"]}
            elif "batch" in (packets := unpack_all(said))[0][0]:
                self.socket.send(json.dumps({"ack": packets[0][0]["batch"]}))
                return {packet[0]["channel"]: packet for packet in packets[1:]}, told

    def ask(self, **request) -> None:
        self.socket.send(json.dumps({"ask": request}))

    def reply(self, timeout_s=5.0):
        end = time.monotonic() + timeout_s
        while True:
            said = self.socket.recv(timeout=max(0.01, end - time.monotonic()))
            if isinstance(said, bytes) and "reply" in (packet := unpack_all(said)[0])[0]:
                return packet


def test_the_page_loads_nothing_from_elsewhere(served):
    answer = httpx.get(served.url)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "*" not in policy
    assert "http" not in answer.text.replace("http-equiv", "")
    for path in ("/static/page.js", "/static/page.css", "/static/icon.svg", "/page.json"):
        reply = httpx.get(served.url[:-1] + path)
        assert reply.status_code == 200
        assert "default-src 'self'" in reply.headers["content-security-policy"]
    assert httpx.get(served.url + "static/../server.py").status_code == 404


def test_a_foreign_page_can_neither_read_nor_ask(served):
    for origin in (
        "http://evil.example",
        "null",
        f"http://127.0.0.1:{served.port + 1}",
        f"https://127.0.0.1:{served.port}",
    ):
        with pytest.raises(InvalidStatus) as refused:
            dial(served.port, origin=origin)
        assert refused.value.response.status_code == 403
    with pytest.raises(InvalidStatus):
        dial(served.port, origin="")


def test_a_name_that_was_pointed_here_is_refused(served):
    answer = httpx.get(served.url, headers={"host": "evil.example"})
    assert answer.status_code == 403
    assert "not served under the name" in answer.text
    assert httpx.get(served.url, headers={"host": "localhost:9000"}).status_code == 200


@pytest.mark.parametrize("said", ["nonsense", "[1]", '{"stop": 1}', '{"ack": "x"}'])
def test_a_browser_that_says_nonsense_is_sent_away(served, said):
    with dial(served.port) as link:
        link.send(said)
        with pytest.raises(ConnectionClosed):
            deque(iter(lambda: link.recv(timeout=5), None))


def test_a_late_viewer_gets_the_whole_picture_in_a_second(served, experiment):
    with Client(served.port) as early:
        served.publish()
        found = {}
        while "film/0007" not in found or "map/s" not in found:
            found |= early.batch()[0]
        began = time.monotonic()
        with Client(served.port) as late:
            whole, mark = late.batch()
    assert time.monotonic() - began < 1.0
    assert {"run", "sweep", "plan", "map/s", "map/sigma_zz", "device/magnet", "film/0001", "film/0007"} <= set(whole)
    assert abs(mark["now_s"] - time.time()) < 2.0
    assert whole["map/s"][1]["value"].shape == (experiment.size, experiment.size)


def test_a_viewer_that_paints_nothing_delays_nobody(served):
    served.experiment.size = 512
    source, channel, header, arrays = next(p for p in served.experiment.publications() if p[1] == "map/s")
    delays = []
    with Client(served.port) as slow, Client(served.port, ["map/s"]) as quick:  # the slow one never reads
        for revision in range(30):
            sent = time.monotonic()
            served.subscriber.publish(source, channel, header | {"revision": revision}, arrays)
            while quick.batch()[0]["map/s"][0]["header"]["revision"] != revision:
                pass
            delays.append(time.monotonic() - sent)
        # When it wakes up it gets the batch that it had and then the newest: nothing was queued for it.
        slow.batch()
        newest = slow.batch()[0]["map/s"][0]["header"]["revision"]
    assert np.median(delays) < 0.5
    assert max(delays) < 2.0
    assert newest == 29


def test_what_a_publisher_drops_vanishes(served):
    with Client(served.port) as client:
        served.publish()
        while "film/0001" not in client.batch()[0]:
            pass
        served.subscriber.drop("builder", "film/0001")
        served.publish("run")
        while not (mark := client.batch()[1])["gone"]:
            pass
    assert mark["gone"] == ["film/0001"]


def test_a_spectrum_is_asked_for_and_refusals_say_why(served):
    with Client(served.port, ["run"]) as client:
        served.publish("run")
        client.batch()
        client.ask(id=4, sweep=-1, y0=10, y1=12, x0=20, x1=21)
        envelope, arrays = client.reply()
        assert envelope["reply"] == 4
        assert envelope["header"]["status"] == "OK"
        assert set(arrays) == {"frequency_mhz", "signal", "sigma", "model"}
        assert served.asked == [SpectrumRequest(served.experiment.run_uid, -1, 10, 12, 20, 21)]
        client.ask(id=5, sweep=-1, y0="10; DROP", y1=1, x0=0, x1=1)
        assert client.reply()[0]["refused"] == "the region is not valid"
        served.refusal = "silent"
        client.ask(id=6, sweep=-1, y0=1, y1=2, x0=0, x1=1)
        assert client.reply()[0] == {"reply": 6, "refused": "the map builder does not answer", "arrays": []}


def test_the_process_answers_and_ends_cleanly(tmp_path):
    port = free_port()
    began = time.monotonic()
    with web_process(tmp_path, port) as (process, stream):
        answer = None
        while answer is None:
            assert time.monotonic() - began < 60
            assert process.poll() is None
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
            except httpx.TransportError:
                time.sleep(0.02)
        assert answer.status_code == 200
        wait_ready(tmp_path)
        with dial(port) as link, StatePublisher(stream, "builder") as builder:
            link.send(json.dumps({"show": ["run"]}))
            builder.publish("run", {"run_uid": "abc", "mode": "LIVE"})
            while not isinstance(said := link.recv(timeout=10), bytes):
                pass
            assert unpack_all(said)[-1][0]["header"] == {"run_uid": "abc", "mode": "LIVE"}
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0  # with a viewer that does not go by itself
        assert "Traceback" not in process.stderr.read()
    assert not (tmp_path / "run" / "ready" / "web").exists()


def test_a_taken_port_is_one_clear_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with web_process(tmp_path, taken.getsockname()[1]) as (process, _):
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 1
            assert errors.strip().splitlines()[-1].startswith("cannot serve the page on 127.0.0.1 port")
            assert "Traceback" not in errors


def test_an_experiment_makes_plausible_maps():
    s = Experiment(points_done=0).s(20.0, noise=0.0)
    assert 0.91 < s.min() < 0.95
    assert 1.03 < s.max() < 1.07
