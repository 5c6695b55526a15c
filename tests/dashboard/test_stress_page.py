"""The page of the stress: shear of the load with arrows, or why there is none; spectra along a line."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from browser import complaints, wait_for
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from serving import HandAsker, serving
from stored import start_document, store_run, store_shear
from test_page import text
from test_server import Client, dial

from dashboard.cut import EDGE_PX, PLACES, places
from dashboard.encode import unpack_all
from stream.stored_stress import read_shear, shear_file

RUN = "aaaa1111-run"
CUT = "document.querySelector('[data-key=cut] canvas')?.dataset.rows"
WHITE = """(() => { const c = document.querySelector('[data-key=tau] canvas.base');
  const d = c.getContext('2d').getImageData(0, 0, c.width * 0.8, c.height).data;
  let n = 0;
  for (let i = 0; i < d.length; i += 4) if (Math.min(d[i], d[i + 1], d[i + 2]) > 250) n++;
  return n; })()"""


@pytest.fixture
def page(experiment, tmp_path):
    store_run(tmp_path, RUN, sweeps=2)
    start_document(tmp_path, experiment.run_uid, sample="S1", load_index=3)
    with serving(experiment, data_dir=str(tmp_path)) as served:
        yield served


def open_stress(driver, page):
    driver.get("about:blank")
    complaints(driver)
    page.publish()
    driver.get(f"{page.url}#stress")
    wait_for(driver, "document.querySelector('[data-key=cut_s]')?.dataset.state === 'fresh'", 20)


def test_the_shear_of_the_load_is_found_and_drawn_with_arrows(driver, page, tmp_path):
    open_stress(driver, page)
    wait_for(driver, "document.querySelector('[data-key=tau] .waiting').textContent.includes('stress_map')", 20)
    said = text(driver, "[data-key=tau] .waiting")
    assert "No stored run of sample S1, load 3 has one yet" in said
    assert driver.execute_script("return document.querySelector('[data-key=tau] .waiting').checkVisibility()")
    store_shear(tmp_path, RUN)  # the joint fit is made while the page is looked at
    wait_for(driver, "document.querySelector('[data-key=tau]').dataset.state === 'fresh'", 20)
    sub = text(driver, "[data-key=tau] .sub")
    assert "joint fit of run aaaa1111" in sub
    assert "arrows" in sub
    assert driver.execute_script(f"return {WHITE}") > 100
    assert complaints(driver) == []


def test_a_replay_shows_the_shear_of_its_run(page, tmp_path):
    store_shear(tmp_path, RUN)
    with Client(page.port, ["map/tau", "replay"]) as viewer:
        viewer.socket.send(f'{{"play": "{RUN}", "speed": 0}}')
        while (found := viewer.batch(20.0)[0].get("map/tau")) is None or found[0]["source"] != "replay":
            pass
    envelope, arrays = found
    assert envelope["header"]["of_run"] == RUN
    assert arrays["value"].dtype == np.dtype("<u2")
    assert arrays["arrows"].shape[1] == 4


def test_which_run_has_the_shear_of_a_load_and_why_none(tmp_path):
    for uid, load in (("elsewhere", 4), ("own", 3), ("other", 3)):  # the newest is not the one of every load
        store_shear(tmp_path, uid, load=load)
    start_document(tmp_path, "warming", sample="S1", load_index=3, stress_run="other")
    assert shear_file(tmp_path, "warming")[0].parts[-3] == "other"  # the one that it names
    start_document(tmp_path, "own", sample="S1", load_index=3)
    assert shear_file(tmp_path, "own")[0].parts[-3] == "own"
    start_document(tmp_path, "fresh", sample="S1", load_index=4)
    assert shear_file(tmp_path, "fresh")[0].parts[-3] == "elsewhere"
    for facts in ({"sample": "S2", "load_index": 3}, {}, {"stress_run": "../../etc"}):
        start_document(tmp_path, "none", **facts)
        path, why = shear_file(tmp_path, "none")
        assert path is None
        assert "stress_map" in why
    store_shear(tmp_path, "one-field", load=9, why="all fields are along the normal")
    path = next(tmp_path.glob("processed/one-field/*/joint.h5"))
    found, why = read_shear(path)
    assert found is None
    assert "all fields are along the normal" in why


def test_a_line_is_cut_through_the_marked_points_until_one_is_drawn(driver, page):
    open_stress(driver, page)
    wait_for(driver, f"{CUT} > 5", 20)
    first = text(driver, "[data-key=cut] .sub")
    assert "3 × 3 px" in first
    assert all(asked.x1 - asked.x0 == EDGE_PX for asked in page.asked[-3:])
    canvas = driver.find_element(By.CSS_SELECTOR, "[data-key=cut_s] .overlay")
    chain = ActionChains(driver).key_down(Keys.SHIFT).move_to_element_with_offset(canvas, -90, -40)
    chain.click_and_hold().move_by_offset(120, 90).release().key_up(Keys.SHIFT).perform()
    wait_for(driver, f"document.querySelector('[data-key=cut] .sub').textContent !== {json.dumps(first)}", 20)
    canvas.send_keys("h")  # and by keyboard: across, through the inspected pixel
    wait_for(driver, "document.querySelector('[data-key=cut] .sub').textContent.includes('(2, 28) to (45, 28)')", 20)
    assert complaints(driver) == []


def test_spectra_that_cannot_be_had_say_why_instead_of_an_empty_panel(driver, page):
    page.refusal = "the builder is gone"
    open_stress(driver, page)
    wait_for(driver, "document.querySelector('[data-key=cut] .waiting').textContent.includes('does not answer')", 20)
    page.refusal = None
    wait_for(driver, f"{CUT} > 5", 20)


def test_the_places_of_a_line_are_few_apart_and_inside_it():
    found = places({"x0": 2, "y0": 3, "x1": 400, "y1": 103, "sweep": -1})
    assert len(found) == PLACES
    assert (found[0], found[-1]) == ((2, 3), (400, 103))
    assert places({"x0": 5, "y0": 5, "x1": 5, "y1": 5, "sweep": -1}) == [(5, 5)]
    assert len(places({"x0": 0, "y0": 0, "x1": 9, "y1": 0, "sweep": -1})) == 4


def test_a_line_in_work_keeps_nobody_from_an_answer_and_is_replaced_by_the_next(page):
    held, begun, asked = threading.Event(), threading.Event(), page.asked

    class Slow:
        def __init__(self, asker):
            self.asker = asker

        def ask(self, message, timeout_s):
            if message.x1 - message.x0 == EDGE_PX:
                begun.set()
                assert held.wait(20)
            return self.asker.ask(message, timeout_s)

        def close(self): ...

    page.wrap = lambda served: Slow(HandAsker(served))
    with dial(page.port) as link:
        page.publish("run")
        for number in range(50):
            assert number == 0 or begun.wait(20)  # the first is in work before the others come
            link.send(json.dumps({"cut": {"id": number, "sweep": -1, "x0": 2, "y0": 2, "x1": 40, "y1": 40}}))
        link.send(json.dumps({"ask": {"id": 99, "sweep": -1, "y0": 1, "y1": 2, "x0": 1, "x1": 2}}))
        answered = []
        while len(answered) < 3:
            said = link.recv(timeout=20)
            if isinstance(said, bytes) and "reply" in (packet := unpack_all(said)[0][0]):
                answered.append(packet["reply"])
                held.set()
        link.send(json.dumps({"cut": {"id": 100, "sweep": -1, "x0": "2", "y0": 2, "x1": 40, "y1": 40}}))
        while "refused" not in (packet := unpack_all(said)[0][0] if isinstance(said, bytes) else {}):
            said = link.recv(timeout=20)
        assert packet["refused"] == "the line is not valid"
    assert answered == [99, 0, 49]
    assert len(asked) < 3 * PLACES
