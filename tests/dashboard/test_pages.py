"""The other pages in a real browser: gallery, runs and replay, system."""

from __future__ import annotations

import time
from collections import deque

import pytest
from browser import complaints, wait_for
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By
from serving import serving
from stored import store_run
from test_page import FRESH, text
from test_server import Client
from websockets.exceptions import ConnectionClosed

RUN, OTHER = "aaaa1111-run", "bbbb2222-run"


@pytest.fixture
def shelved(experiment, tmp_path):
    store_run(tmp_path, OTHER, sweeps=3, pressure_gpa=16.0, started_s=1.6e9)
    store_run(tmp_path, RUN)
    with serving(experiment, data_dir=str(tmp_path)) as page:
        yield page


def open_at(driver, page, where):
    driver.get("about:blank")
    complaints(driver)
    page.publish()
    driver.get(f"{page.url}#{where}")


def replaying(driver, page):
    open_at(driver, page, "runs")
    wait_for(driver, f"document.querySelector('[data-run=\"{RUN}\"] button')")
    driver.find_element(By.CSS_SELECTOR, f"[data-run='{RUN}'] button").click()
    wait_for(driver, "document.getElementById('badge').textContent.includes('REPLAY')")
    wait_for(driver, FRESH)


def test_the_gallery_orders_runs_by_pressure_and_maps_by_temperature(driver, shelved):
    open_at(driver, shelved, "gallery")
    wait_for(driver, "document.querySelectorAll('.gallery .cell:not(.none)').length === 7")
    assert driver.execute_script(
        "return [...document.querySelectorAll('.gallery .pressure b')].map((b) => b.textContent)"
    ) == ["21.0", "16.0"]
    heads = driver.execute_script("return [...document.querySelectorAll('.gallery .t')].map((t) => t.textContent)")
    assert heads[1:] == ["28 K", "36 K", "44 K"]
    assert driver.execute_script("return document.querySelectorAll('.gallery .cell.none').length") == 1
    assert complaints(driver) == []


def test_a_stored_run_is_played_in_the_same_page_and_cannot_be_taken_for_a_live_one(driver, shelved):
    replaying(driver, shelved)
    assert text(driver, "#run-detail").endswith("stored maps, played again")
    wait_for(driver, "document.querySelector('#playback .at').textContent.startsWith('sweep 4 of 4')", 20)
    assert "sample 44.0 K" in text(driver, "[data-key=s] .sub")
    assert text(driver, "#points") == "4 of 4 temperatures"
    # Nothing of the present moment stays on the page: neither instruments nor camera nor processes.
    for key in ("devices", "frame", "workers", "events"):
        assert driver.execute_script(f"return document.querySelector('[data-key={key}]').dataset.state") == "waiting"
    shown = "return [...document.querySelectorAll('.device')].filter((row) => row.checkVisibility()).length"
    assert driver.execute_script(shown) == 0
    assert text(driver, "#now-field b") == "–"
    shelved.publish()  # what comes meanwhile is for those who look at it
    time.sleep(1.0)
    assert driver.execute_script("return document.getElementById('stripe').dataset.mode") == "REPLAY"
    driver.find_element(By.CSS_SELECTOR, "#playback .live").click()
    wait_for(driver, "document.getElementById('badge').textContent.includes('SIMULATED')")
    wait_for(driver, "document.querySelector('[data-key=devices]').dataset.state === 'fresh'")
    assert complaints(driver) == []


def test_a_replay_can_be_held_and_wound_back(driver, shelved):
    replaying(driver, shelved)
    driver.find_element(By.CSS_SELECTOR, "#playback button").click()
    wait_for(driver, "document.querySelector('#playback button').textContent.includes('go on')")
    slider = driver.find_element(By.CSS_SELECTOR, "#playback input")
    slider.send_keys(Keys.HOME)
    wait_for(driver, "document.querySelector('#playback .at').textContent.startsWith('sweep 1 of 4')")
    wait_for(driver, "document.querySelector('[data-key=s] .sub').textContent.includes('sample 20.0 K')")
    wait_for(driver, "document.querySelector('.reason').textContent === 'because of sweep 0'")
    slider.send_keys(Keys.ARROW_RIGHT)
    wait_for(driver, "document.querySelector('[data-key=s] .sub').textContent.includes('sample 28.0 K')")
    time.sleep(1.2)
    assert text(driver, "#playback .at").startswith("sweep 2 of 4")  # it is held


def test_one_viewers_replay_is_not_anothers(shelved):
    with Client(shelved.port, ["run", "map/"]) as one, Client(shelved.port, ["run", "map/"]) as other:
        one.socket.send(f'{{"play": "{RUN}", "speed": 3600}}')
        while (found := one.batch()[0].get("run")) is None:
            pass
        assert found[0]["header"]["mode"] == "REPLAY"
        shelved.publish("run")
        while (found := other.batch()[0].get("run")) is None:
            pass
        assert found[0]["header"]["mode"] == "SIMULATED"


def test_stored_maps_that_cannot_be_read_end_the_replay(shelved, tmp_path):
    with Client(shelved.port, ["run", "replay"]) as viewer:
        shelved.publish("run")
        while "run" not in viewer.batch()[0]:
            pass
        for path in (tmp_path / "processed" / RUN).glob("*/sweep_*.h5"):
            path.write_bytes(b"nothing of use")
        viewer.socket.send(f'{{"play": "{RUN}", "speed": 3600}}')
        while (found := viewer.batch()[0].get("run")) is None:
            pass
        assert found[0]["header"]["mode"] == "SIMULATED"


def test_a_replay_of_an_unknown_run_is_refused(shelved):
    with Client(shelved.port) as viewer:
        viewer.socket.send('{"play": "../../etc", "speed": 1}')
        with pytest.raises(ConnectionClosed):
            deque(iter(viewer.batch, None))


def test_the_system_page_says_of_every_process_what_it_is(driver, shelved):
    open_at(driver, shelved, "system")
    wait_for(driver, "document.querySelectorAll('.process').length === 8")
    heard = driver.execute_script(
        "const rows = [...document.querySelectorAll('.process')].map((r) => [r.dataset.process, r.dataset.heard]);"
        "return Object.fromEntries(rows)"
    )
    assert heard == {"builder": "heard", "camera": "heard", "monitor": "heard", "session": "never", "guard": "heard",
                     "web": "heard", "worker-0": "heard", "worker-1": "heard"}  # fmt: skip
    row = text(driver, "[data-process=builder]")
    assert "3 frames" in row
    assert "none" in row
    shelved.subscriber.silent_s = 4.0
    wait_for(driver, "document.querySelector('[data-process=builder]').dataset.heard === 'lost'")
    event = {"time_s": time.time(), "severity": "MAJOR", "source": "builder", "text": "the disk is full"}
    shelved.subscriber.publish("builder", "events", {"events": [event]}, {})
    wait_for(driver, "document.querySelector('[data-process=builder] .error').textContent.includes('the disk is full')")
    shelved.subscriber.silent_s = 0.1
    wait_for(driver, "document.querySelector('[data-process=builder]').dataset.heard === 'heard'")
    # It is over, but stays until somebody has seen it.
    assert "builder is silent" in text(driver, "[data-key=alarms]")
    driver.find_element(By.CSS_SELECTOR, "[data-key=alarms] .all").click()
    wait_for(driver, "document.querySelectorAll('[data-key=alarms] .text').length === 0")
    driver.execute_script("localStorage.clear()")
    assert complaints(driver) == []


def test_numbers_of_a_process_are_linked_and_its_alarms_latched(driver, experiment):
    with serving(experiment, metrics_urls={"camera": "http://127.0.0.1:9/metrics"}) as page:
        open_at(driver, page, "system")
        wait_for(driver, "document.querySelector('[data-process=camera] a')")
        href = driver.execute_script("return document.querySelector('[data-process=camera] a').href")
        assert href == "http://127.0.0.1:9/metrics"
        alarm = {
            "name": "disk",
            "severity": "MAJOR",
            "active": False,
            "count": 2,
            "first_s": 1.0,
            "last_s": time.time(),
        }
        for source in ("builder", "camera"):
            text_of = {"text": f"the disk of the {source} is full"}
            page.subscriber.publish(source, "alarms", {"alarms": [alarm | text_of]}, {})
        for source in ("builder", "camera"):
            words = f"the disk of the {source} is full (2 times)"
            wait_for(driver, f"document.querySelector('[data-key=alarms]').textContent.includes('{words}')")


def test_a_page_that_was_left_keeps_no_place(driver, served):
    for _ in range(3):
        open_at(driver, served, "live")
        wait_for(driver, FRESH)
    open_at(driver, served, "system")
    cells = "[...document.querySelectorAll('[data-process=web] td')].map((cell) => cell.textContent)"
    wait_for(driver, f"{cells}.includes('1 viewer')")


def test_the_tabs_go_by_keyboard_and_send_only_what_is_shown(driver, shelved):
    open_at(driver, shelved, "live")
    wait_for(driver, FRESH)
    driver.find_element(By.CSS_SELECTOR, "[data-page=live][role=tab]").send_keys(Keys.ARROW_RIGHT)
    wait_for(driver, "!document.querySelector('main[data-page=stress]').hidden")
    driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    wait_for(driver, "!document.querySelector('main[data-page=gallery]').hidden")
    driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    wait_for(driver, "!document.querySelector('main[data-page=runs]').hidden")
    assert driver.execute_script("return location.hash") == "#runs"
