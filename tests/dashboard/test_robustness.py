"""Viewers that misbehave: slow ones, ones that stop reading, a thousand that come and go, pages from elsewhere."""

from __future__ import annotations

import http.server
import socket
import threading
import time

import numpy as np
import psutil
import pytest
from browser import complaints, wait_for
from serving import serving
from test_page import open_page
from test_server import Client, dial
from web_process import free_port, wait_ready, web_process
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from stream.state import StatePublisher


def revisions(client, served, count):
    """Publish 512² maps and return how long each took to arrive, s."""
    source, channel, header, arrays = next(p for p in served.experiment.publications() if p[1] == "map/s")
    delays = []
    for revision in range(count):
        sent = time.monotonic()
        served.subscriber.publish(source, channel, header | {"revision": revision}, arrays)
        while True:
            found = client.batch(10.0)[0]
            if "map/s" in found and found["map/s"][0]["header"]["revision"] == revision:
                break
        delays.append(time.monotonic() - sent)
    return delays


def test_a_browser_slowed_twenty_times_delays_nobody(driver, served):
    open_page(driver, served)
    served.experiment.size = 512
    driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": 20})
    try:
        with Client(served.port, ["map/s"]) as quick:
            delays = revisions(quick, served, 25)
    finally:
        driver.execute_cdp_cmd("Emulation.setCPUThrottlingRate", {"rate": 1})
    assert np.median(delays) < 0.5
    # What it missed is skipped: once it is quick again it shows the newest.
    source, channel, header, arrays = next(p for p in served.experiment.publications() if p[1] == "map/s")
    served.subscriber.publish(source, channel, header | {"temperature_k": 71.5}, arrays)
    wait_for(driver, "document.querySelector('[data-key=s] .sub').textContent.includes('71.5 K')")
    assert complaints(driver) == []


def handshake(port):
    """Return a websocket that will never be read: what a closed laptop leaves."""
    link = socket.create_connection(("127.0.0.1", port))
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.sendall(
        f"GET /state HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    said = b'{"show": ["map/"]}'
    link.sendall(bytes([0x81, 0x80 | len(said), 0, 0, 0, 0]) + said)
    return link


def test_a_closed_laptop_is_let_go_and_nobody_else_notices(experiment):
    experiment.size = 512
    with serving(experiment, stuck_s=1.0) as page:
        asleep = [handshake(page.port) for _ in range(70)]  # more than there are places for viewers
        try:
            page.publish("map/")
            end = time.monotonic() + 30
            while True:  # their places are free again
                try:
                    with Client(page.port, ["map/s"]) as quick:
                        delays = revisions(quick, page, 10)
                    break
                except (ConnectionClosed, InvalidStatus, InvalidMessage):
                    assert time.monotonic() < end
        finally:
            for link in asleep:
                link.close()
    assert np.median(delays) < 0.5


def test_what_a_viewer_that_never_reads_was_not_sent_is_kept_nowhere(tmp_path):
    port = free_port()
    maps = np.random.default_rng(1).standard_normal((4, 512, 512)).astype("f4")
    with web_process(tmp_path, port) as (process, stream), StatePublisher(stream, "builder") as builder:
        wait_ready(tmp_path)
        web = psutil.Process(process.pid)
        asleep = handshake(port)

        def follow(quick, count):
            for number in range(count):
                builder.publish("map/s", {"revision": number}, {"value": maps[number % 4]})
                while quick.batch(20.0)[0]["map/s"][0]["header"]["revision"] != number:
                    pass
            return web.memory_info().rss / 1e6

        try:
            with Client(port, ["map/s"]) as quick:
                before = follow(quick, 20)
                after = follow(quick, 120)  # 63 MB, had they been queued for the one that sleeps
        finally:
            asleep.close()
    assert after - before < 16.0


@pytest.mark.timeout(200)
def test_a_thousand_reconnects_leave_nothing_behind(tmp_path):
    port = free_port()
    with web_process(tmp_path, port) as (process, stream), StatePublisher(stream, "builder") as builder:
        wait_ready(tmp_path)
        builder.publish("map/s", {}, {"value": np.ones((256, 256), "f4")})
        web = psutil.Process(process.pid)

        def reconnect(count):
            for _ in range(count):
                with dial(port) as link:
                    link.send('{"show": ["map/"]}')
                    while not isinstance(link.recv(timeout=10), bytes):
                        pass
            return web.memory_info().rss / 1e6, web.num_fds(), web.num_threads()

        before = reconnect(200)
        after = reconnect(1000)
    assert after[0] - before[0] < 8.0
    assert after[1] <= before[1] + 3
    assert after[2] <= before[2] + 2


FOREIGN = """<!doctype html><title>evil</title><script>
const said = {};
const done = (name, what) => { said[name] = what; window.said = said; };
fetch("%(url)spage.json").then((r) => r.text()).then(() => done("read", "yes"), () => done("read", "no"));
const link = new WebSocket("%(ws)sstate");
link.onopen = () => done("link", "yes");
link.onerror = () => done("link", "no");
const frame = document.createElement("iframe");
frame.src = "%(url)s";
frame.onload = () => { try { done("frame", frame.contentDocument ? "yes" : "no"); } catch { done("frame", "no"); } };
addEventListener("DOMContentLoaded", () => document.body.append(frame));
</script><body></body>"""


def test_a_page_from_elsewhere_can_neither_read_nor_command(driver, served):
    text = (FOREIGN % {"url": served.url, "ws": served.url.replace("http", "ws")}).encode()

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_): ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil) as evil:
        thread = threading.Thread(target=evil.serve_forever, daemon=True)
        thread.start()
        try:
            driver.get(f"http://127.0.0.1:{evil.server_port}/")
            wait_for(driver, "window.said && said.read && said.link && said.frame")
            said = driver.execute_script("return said")
        finally:
            evil.shutdown()
            thread.join(5)
    complaints(driver)
    assert said == {"read": "no", "link": "no", "frame": "no"}
