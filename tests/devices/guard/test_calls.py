"""Critical alarms that leave the machine: a real SMTP and a real HTTP server on loopback."""

from __future__ import annotations

import base64
import email
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deploy.rig_file import RIGS, load_rig
from devices.guard_settings import CallSettings
from devices.ioc.call import PASSWORD, USER, WEBHOOK, Caller
from tests.devices.guard.conftest import RULES

INPUTS = load_rig(RIGS / "twin-s1.toml").guard.inputs


class Heard:
    """What a server was told, and waiting for it."""

    def __init__(self, port: int, fail_first: int = 0) -> None:
        self.port = port
        self.fail_first = fail_first
        self.told: list[dict] = []
        self.logins: list[str] = []
        self.news = threading.Condition()

    def take(self, what: dict) -> None:
        with self.news:
            self.told.append(what)
            self.news.notify_all()

    def wait(self, count: int = 1, timeout_s: float = 60.0) -> list[dict]:
        with self.news:
            assert self.news.wait_for(lambda: len(self.told) >= count, timeout_s), self.told
            return list(self.told)


@contextmanager
def running(server) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture
def hook() -> Iterator[Heard]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if heard.fail_first:
                heard.fail_first -= 1
                self.send_error(503)
                return
            heard.take({"path": self.path, **json.loads(body)})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    heard = Heard(server.server_port)
    with running(server):
        yield heard


@pytest.fixture
def mail() -> Iterator[Heard]:
    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            self.say("220 test")
            to: list[str] = []
            while line := self.rfile.readline().decode().strip():
                verb = line.split(" ")[0].upper()
                if verb == "EHLO":
                    self.wfile.write(b"250-test\r\n250 AUTH PLAIN\r\n")
                elif verb == "AUTH":
                    heard.logins.append(base64.b64decode(line.split(" ")[2]).decode().replace("\0", "/"))
                    self.say("235 welcome")
                elif verb == "DATA":
                    self.say("354 go on")
                    rows = iter(self.rfile.readline, b".\r\n")
                    message = email.message_from_bytes(b"".join(rows))
                    heard.take({"to": to, "subject": message["Subject"], "text": message.get_payload()})
                    self.say("250 taken")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    if verb == "RCPT":
                        to.append(line.partition(":")[2].split(">")[0].strip("<"))
                    self.say("250 ok")

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        heard = Heard(server.server_address[1])
        with running(server):
            yield heard


def mailing(mail: Heard, **changes) -> CallSettings:
    values = {"mail_to": ("ada@example.org", "ben@example.org"), "mail_from": "rig@example.org", "smtp_tls": False}
    return CallSettings(**{**values, "smtp_host": "127.0.0.1", "smtp_port": mail.port, **changes})


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch):
    for name in (WEBHOOK, USER, PASSWORD):
        monkeypatch.delenv(name, raising=False)


def test_nobody_is_called_unless_the_rig_file_says_so(hook, monkeypatch):
    monkeypatch.setenv(WEBHOOK, f"http://127.0.0.1:{hook.port}/alarm")
    assert Caller(CallSettings()).call("rig", "the vacuum failed") is None
    assert hook.told == []


def test_a_post_that_fails_is_tried_again(hook, monkeypatch):
    monkeypatch.setenv(WEBHOOK, f"http://127.0.0.1:{hook.port}/alarm")
    hook.fail_first = 2
    Caller(CallSettings(webhook=True), pause_s=0.01).call("rig", "the vacuum failed").join(30)
    (told,) = hook.told
    assert (told["path"], told["rig"], told["text"]) == ("/alarm", "rig", "rig: the vacuum failed")
    assert abs(told["time_s"] - time.time()) < 60.0
    hook.fail_first = 3
    Caller(CallSettings(webhook=True), pause_s=0.01).call("rig", "again").join(30)
    assert len(hook.told) == 1, "given up after three tries"


@pytest.mark.parametrize("address", ["", "http://example.org/hook", "ftp://127.0.0.1/x"])
def test_an_address_that_is_not_encrypted_gets_nothing(monkeypatch, caplog, address):
    monkeypatch.setenv(WEBHOOK, address)
    Caller(CallSettings(webhook=True), pause_s=0.01).call("rig", "secret trouble").join(30)
    assert f"set {WEBHOOK} to an https address" in caplog.text


def test_a_mail_goes_to_everybody_with_the_login_of_the_environment(mail, monkeypatch):
    monkeypatch.setenv(USER, "rig")
    monkeypatch.setenv(PASSWORD, "word")
    Caller(mailing(mail), pause_s=0.01).call("rig", "mains were lost").join(30)
    (told,) = mail.told
    assert told["to"] == ["ada@example.org", "ben@example.org"]
    assert told["subject"] == "nvdac rig: mains were lost"
    assert "mains were lost" in told["text"]
    assert mail.logins == ["/rig/word"]


def test_no_password_goes_where_nothing_is_encrypted(mail, monkeypatch, caplog):
    monkeypatch.setenv(USER, "rig")
    monkeypatch.setenv(PASSWORD, "word")
    Caller(mailing(mail, smtp_tls=True), pause_s=0.01).call("rig", "x").join(30)
    assert "STARTTLS" in caplog.text, "the server offers none"
    Caller(mailing(mail, smtp_host="mail.example.org"), pause_s=0.01).call("rig", "x").join(30)
    assert "goes to mail.example.org with smtp_tls only" in caplog.text
    assert (mail.told, mail.logins) == ([], [])
    assert "word" not in caplog.text.replace("PASSWORD", "")


def test_the_guard_calls_once_for_a_critical_fault_and_not_for_a_door(make_guarded, hook, mail, monkeypatch):
    monkeypatch.setenv(WEBHOOK, f"http://127.0.0.1:{hook.port}/alarm")
    calling = replace(RULES, inputs=INPUTS, call=replace(mailing(mail), webhook=True))
    rig = make_guarded(guard=calling)
    for fault in ("DOOR_OPEN", "VACUUM_LOST"):
        rig.put(f"TWIN:FAULT:{fault}", 1)
    assert [told["text"] for told in hook.wait()] == ["test: the vacuum failed"]
    assert [told["subject"] for told in mail.wait()] == ["nvdac test: the vacuum failed"]
    rig.until("GUARD:LASER:PERMIT", 0)
    assert (len(hook.told), len(mail.told)) == (1, 1)
