"""Control from a browser: who may, in how many steps, what is refused and why; and that the token stays where it is."""

from __future__ import annotations

import json
import threading
import time

import pytest
from browser import complaints, wait_for
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By
from serving import serving
from test_page import text
from test_server import dial
from web_process import free_port, wait_ready, web_process

from dashboard.commands import VIEW_ONLY, Commands
from stream.link_messages import ControlReply, ControlRequest
from stream.paths import control_token_path
from stream.state import StatePublisher

TOKEN = "correct-horse-battery-staple"
LADDER = {"here_k": 70.0, "top_k": 150.0, "least_step_k": 2.0, "pin_k": None, "pin_by": "", "veto_k": []}


class HandSession:
    """A session that notes what it is asked."""

    def __init__(self):
        self.asked: list[ControlRequest] = []
        self.refusal = ""
        self.gone = False

    def ask(self, message, timeout_s):
        if self.gone:
            raise TimeoutError("session did not answer")
        self.asked.append(message)
        return ControlReply(not self.refusal, self.refusal or f"{message.action} done")

    def close(self): ...


@pytest.fixture
def session():
    return HandSession()


@pytest.fixture
def controlled(experiment, session):
    with serving(experiment, commands=Commands(TOKEN, lambda: session)) as page:
        page.state = {"allowed": True, "state": "running", "held_by": "", "held": False, "ladder": LADDER}

        def tell(**changes):
            page.state |= changes
            page.subscriber.publish("session", "control", page.state, {})

        page.tell = tell
        yield page


def open_with_token(driver, page, who="Ann"):
    driver.get("about:blank")
    page.publish()
    page.tell()
    driver.get(page.url)
    driver.execute_script("localStorage.setItem('who', arguments[0]); sessionStorage.clear()", who)
    driver.get("about:blank")
    complaints(driver)
    driver.get(f"{page.url}#token={TOKEN}")
    wait_for(driver, "document.querySelector('[data-key=s]')?.dataset.state === 'fresh'")
    wait_for(driver, "document.querySelectorAll('#control button').length === 4")


def press(driver, action):
    driver.find_element(By.CSS_SELECTOR, f"[data-action={action}]").click()


def said(driver, words):
    wait_for(driver, f"document.getElementById('said').checkVisibility() && said.textContent.includes({words!r})")
    return text(driver, "#said")


def test_without_the_token_the_page_shows_only(driver, controlled, session):
    driver.get("about:blank")
    controlled.publish()
    controlled.tell()
    driver.get(controlled.url)
    driver.execute_script("sessionStorage.clear()")
    driver.refresh()
    wait_for(driver, "document.querySelector('[data-key=s]')?.dataset.state === 'fresh'")
    assert driver.execute_script("return document.getElementById('view-only').checkVisibility()")
    visible = "return [...document.querySelectorAll('#control button, .steer button')].some((b) => b.checkVisibility())"
    assert not driver.execute_script(visible)
    assert session.asked == []


def test_the_token_leaves_the_address_and_lets_pause_and_resume(driver, controlled, session):
    open_with_token(driver, controlled)
    assert driver.execute_script("return location.hash") == ""
    press(driver, "pause")
    said(driver, "pause done")
    controlled.tell(state="paused", held_by="Ann", held=True)
    wait_for(driver, "document.getElementById('story').textContent.startsWith('Paused by Ann')")
    wait_for(driver, "document.querySelector('[data-action=pause]').textContent === 'Resume'")
    press(driver, "pause")
    said(driver, "resume done")
    assert [(request.action, request.who) for request in session.asked] == [("pause", "Ann"), ("resume", "Ann")]
    assert complaints(driver) == []


@pytest.mark.parametrize("action", ["stop", "abort"])
def test_stop_and_abort_take_two_steps_and_no_name(driver, controlled, session, action):
    open_with_token(driver, controlled, who="")
    press(driver, action)
    wait_for(driver, "document.getElementById('ask').checkVisibility()")
    assert "microwave and laser go off" in text(driver, "#ask-text")
    assert driver.execute_script("return document.activeElement.id") != "ask-yes"  # Enter alone does not end a run
    driver.find_element(By.ID, "ask-no").click()
    wait_for(driver, "!document.getElementById('ask').checkVisibility()")
    assert session.asked == []
    press(driver, action)
    driver.find_element(By.ID, "ask-yes").click()
    said(driver, f"{action} done")
    assert [(request.action, request.who) for request in session.asked] == [(action, "somebody")]


def test_pin_veto_and_marker_by_keyboard_with_a_name_asked_for_once(driver, controlled, session):
    open_with_token(driver, controlled, who="")
    press(driver, "pin")
    field = driver.find_element(By.ID, "ask-kelvin")
    assert field.get_attribute("value") == "74"  # the next one that is not decided yet
    driver.find_element(By.ID, "ask-who").send_keys("Cleo")
    field.clear()
    field.send_keys("76.5", Keys.ENTER)
    said(driver, "pin done")
    press(driver, "marker")
    driver.switch_to.active_element.send_keys("laser realigned", Keys.ENTER)
    said(driver, "marker done")
    press(driver, "veto")
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    said(driver, "veto done")
    told = [(r.action, r.who, r.temperature_k, r.text) for r in session.asked]
    assert told == [
        ("pin", "Cleo", 76.5, ""), ("marker", "Cleo", 0.0, "laser realigned"), ("veto", "Cleo", 74.0, ""),
    ]  # fmt: skip
    controlled.tell(ladder=LADDER | {"pin_k": 76.5, "pin_by": "Cleo", "veto_k": [74.0]})
    wait_for(driver, "document.querySelector('.wishes').textContent === '76.5 K is pinned by Cleo · vetoed: 74 K'")


def test_a_refused_action_says_why(driver, controlled, session):
    open_with_token(driver, controlled)
    session.refusal = "40 K is not above 70 K"
    press(driver, "marker")
    driver.switch_to.active_element.send_keys("x", Keys.ENTER)
    assert said(driver, "not above") == "Refused: 40 K is not above 70 K"
    session.gone = True
    press(driver, "pause")
    said(driver, "no session answers")


class Talker:
    """A browser by hand that asks for things."""

    def __init__(self, port):
        self.link = dial(port)

    def ask(self, **request):
        self.link.send(json.dumps({"control": request | {"id": 7}}))
        end = time.monotonic() + 10
        while time.monotonic() < end:
            found = self.link.recv(timeout=10)
            if isinstance(found, str) and "did" in (answer := json.loads(found)):
                assert answer["did"] == 7
                return answer["accepted"], answer["said"]
        raise TimeoutError


def test_a_browser_with_another_token_or_none_can_command_nothing(controlled, session):
    talker = Talker(controlled.port)
    with talker.link:
        for token in (None, "", "wrong", TOKEN[:-1], TOKEN + "x", 17, "é"):
            assert talker.ask(action="abort", confirmed=True, token=token) == (False, VIEW_ONLY)
        assert talker.ask(action="abort", token=TOKEN) == (False, "abort must be confirmed")
        assert talker.ask(action="submit", token=TOKEN)[0] is False
        for kelvin in (-1, "50", True, 1e9):
            assert talker.ask(action="pin", token=TOKEN, temperature_k=kelvin) == (False, "that is not a temperature")
        assert session.asked == []
        assert talker.ask(action="abort", token=TOKEN, confirmed=True) == (True, "abort done")


def test_a_page_that_shows_only_refuses_every_request(served):
    talker = Talker(served.port)
    with talker.link:
        assert talker.ask(action="pause", token=TOKEN) == (False, VIEW_ONLY)


def test_the_real_web_process_commands_a_session_and_its_log_never_holds_the_token(tmp_path):
    port = free_port()
    (tmp_path / "run").mkdir(mode=0o700)
    control_token_path(tmp_path / "run").write_text(TOKEN)
    with web_process(tmp_path, port, allow_control=True) as (process, stream):
        wait_ready(tmp_path)
        answered = threading.Event()
        with StatePublisher(stream, "session") as session:

            def answer():
                while not answered.wait(0.02):
                    for token, message in session.requests():
                        session.reply(token, ControlReply(True, f"{message.action} by {message.who}"))
                        answered.set()

            thread = threading.Thread(target=answer)
            thread.start()
            talker = Talker(port)
            with talker.link:
                assert talker.ask(action="pause", who="Ann", token=TOKEN) == (True, "pause by Ann")
                assert talker.ask(action="pause", token="wrong-wrong-wrong")[0] is False
                talker.link.send(json.dumps({"nonsense": TOKEN}))
            thread.join(10)
        process.terminate()
        log = process.communicate(timeout=10)[1]
    assert "the page is at" in log
    assert TOKEN not in log
    assert "wrong-wrong" not in log
