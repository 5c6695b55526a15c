"""The page under attack: what is not a message, connections that never end, words that would like to be code."""

from __future__ import annotations

import logging
import socket
import time
from collections import deque

import httpx
import pytest
from browser import complaints, wait_for
from serving import serving
from test_page import FRESH, text
from test_server import dial
from websockets.exceptions import ConnectionClosed

from dashboard.patience import MOST_HEAD_BYTES, ImpatientProtocol

EVIL = "<img src=x onerror='window.taken=1'><script>window.taken=1</script>{}"
DEEP = "[" * 60000
LONG_NUMBER = '{"ack": ' + "9" * 5000 + "}"


@pytest.mark.parametrize(
    "said",
    [b"\x00\x01", b"{}", DEEP, '{"show": ' + DEEP + "}", LONG_NUMBER, '{"ack": 1e999}', '{"show": 3}', '"text"', ""],
    ids=["binary", "binary JSON", "deep", "deep inside", "long number", "endless", "no list", "no object", "empty"],
)
def test_what_is_no_message_is_sent_away_without_a_trace_in_the_log(served, said, caplog):
    with caplog.at_level(logging.INFO), dial(served.port) as link:
        link.send(said)
        with pytest.raises(ConnectionClosed) as gone:
            deque(iter(lambda: link.recv(timeout=20), None))
        assert gone.value.rcvd.code == 1008
    assert [record for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info] == []
    assert httpx.get(served.url).status_code == 200


def test_a_message_that_is_too_long_is_not_read(served):
    with dial(served.port) as link:
        link.send("x" * 70000)
        with pytest.raises(ConnectionClosed) as gone:
            deque(iter(lambda: link.recv(timeout=20), None))
        assert gone.value.rcvd.code == 1009


def connection(port, said=b""):
    link = socket.create_connection(("127.0.0.1", port))
    link.settimeout(30)
    link.sendall(said)
    return link


def flood(link, most):
    """Send a header that has no end, until the server closes the connection; return the bytes that it took."""
    sent = 0
    try:
        while sent < most:
            link.sendall(b"a" * 4096)
            sent += 4096
    except OSError:
        return sent
    return most


def test_a_request_whose_head_never_ends_is_cut_off(served):
    with connection(served.port, b"GET / HTTP/1.1\r\nX: ") as link:
        assert flood(link, 64 * 2**20) < 16 * 2**20  # what the system's buffers hold; the server keeps far less
    assert MOST_HEAD_BYTES <= 65536
    assert httpx.get(served.url).status_code == 200


@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HTTP/1.1\r\nHost:", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HTTP/1.1\r\nHo"],
    ids=["nothing", "half a request", "half a second one"],
)
def test_a_connection_that_never_finishes_a_request_is_let_go(experiment, monkeypatch, said):
    monkeypatch.setattr(ImpatientProtocol, "patience_s", 0.3)
    with serving(experiment) as page, connection(page.port, said) as slow, dial(page.port) as viewer:
        while slow.recv(65536):
            pass
        began = time.monotonic()
        while time.monotonic() - began < 1.0:  # a websocket outlives that patience
            viewer.recv(timeout=20)
        viewer.send('{"show": ["run"]}')
        page.publish("run")
        while not isinstance(viewer.recv(timeout=20), bytes):
            pass


def poisoned(value):
    """Return a header with every text in it poisoned; keys and what the page reads as words stay."""
    if isinstance(value, dict):
        keep = {"run_uid", "mode", "history", "severity", "status_names", "key", "state", "role", "phase"}
        return {key: item if key in keep else poisoned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return EVIL if isinstance(value, str) else value


def test_words_of_a_run_are_never_taken_for_code(driver, experiment, tmp_path):
    with serving(experiment, data_dir=str(tmp_path)) as page:
        driver.get("about:blank")
        complaints(driver)
        for source, channel, header, arrays in experiment.publications():
            page.subscriber.publish(source, channel, poisoned(header), arrays)
        alarm = {
            "name": EVIL,
            "severity": "MAJOR",
            "active": True,
            "count": 1,
            "first_s": 1.0,
            "last_s": 2.0,
            "text": EVIL,
        }
        page.subscriber.publish("builder", "alarms", {"alarms": [alarm]}, {})
        page.subscriber.publish("session", "control", {"state": "paused", "held_by": EVIL, "held": True}, {})
        driver.get(page.url)
        wait_for(driver, FRESH, 20)
        wait_for(driver, "document.querySelector('.reason').textContent.includes('onerror')", 20)
        for where in ("system", "stress", "gallery", "runs", "live"):
            driver.execute_script("location.hash = arguments[0]", where)
            wait_for(driver, f"!document.querySelector('main[data-page={where}]').hidden", 20)
            driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        for selector in ("#run-title", "#run-detail", "#story", "#phases", ".devices", ".events", ".worker"):
            assert "onerror" in text(driver, selector), selector
        assert driver.execute_script("return document.querySelectorAll('img:not([alt]), main script').length") == 0
        assert driver.execute_script("return window.taken") is None
        assert complaints(driver) == []


def test_a_header_of_the_wrong_kind_stops_nobody_and_is_said(driver, served):
    driver.get("about:blank")
    served.publish()
    driver.get(served.url)
    wait_for(driver, FRESH, 20)
    for source, channel, header, arrays in served.experiment.publications():
        if channel == "plan":
            served.subscriber.publish(source, channel, header | {"phases": "none"}, arrays)
        if channel == "spectrum/mean":
            served.subscriber.publish(source, channel, header | {"guides_mhz": 5}, arrays)
    wait_for(driver, "document.getElementById('story').textContent.includes('cannot be shown')", 20)
    wait_for(driver, "document.querySelector('[data-key=mean] .sub').textContent.includes('cannot be drawn')", 20)
    served.experiment.frames_sent += 20
    served.publish("map/s", "plan", "spectrum")  # the credit came back: what is right again is shown again
    wait_for(driver, "document.getElementById('story').textContent.startsWith('Measuring')", 20)
    wait_for(driver, "document.querySelector('[data-key=mean] .sub').textContent.startsWith('s = ')", 20)
    complaints(driver)
