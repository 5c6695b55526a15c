"""The page in a real browser: what a person sees."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from browser import complaints, wait_for
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from dashboard.server import STATIC
from plans.histories import PHASES as ZFC
from plans.mapping import STRESS_PHASES
from plans.remnant import PHASES as REMNANT

FRESH = "document.querySelector('[data-key=s]')?.dataset.state === 'fresh'"
PIXELS = """(() => { const c = document.querySelector('[data-key=%s] canvas.base');
  const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  let h = 0; for (let i = 0; i < d.length; i += 4) h = (h * 31 + d[i] + 7 * d[i + 1] + 13 * d[i + 2]) | 0;
  return h; })()"""


def text(driver, selector):
    return driver.execute_script(f"return document.querySelector({selector!r})?.textContent ?? ''")


def open_page(driver, served, *channels):
    driver.get("about:blank")
    complaints(driver)  # what the page before said is not ours
    served.publish(*channels)
    driver.get(served.url)
    wait_for(driver, FRESH)


def settled(driver):
    """Wait until the layout no longer moves (legend and first spectrum are there); return a sum over the map."""
    wait_for(driver, "document.querySelector('[data-key=inspect]').dataset.state === 'fresh'")
    last = [None, None]

    def same(_):
        last[:] = [last[1], driver.execute_script(f"return {PIXELS % 's'}")]
        return last[0] == last[1]

    WebDriverWait(driver, 30, poll_frequency=0.2).until(same)
    return last[1]


def map_canvas(driver):
    return driver.find_element(By.CSS_SELECTOR, "[data-key=s] .overlay")


def test_before_anything_comes_each_panel_says_what_it_waits_for(driver, served):
    driver.get(served.url)
    wait_for(driver, "document.querySelectorAll('.panel').length > 8")
    states = driver.execute_script("return [...document.querySelectorAll('.panel')].map((p) => p.dataset.state)")
    assert set(states) == {"waiting"}
    shown = driver.execute_script("return document.querySelector('[data-key=s] .waiting').checkVisibility()")
    assert shown
    assert "reference" in text(driver, "[data-key=s] .waiting")
    assert text(driver, "#badge") == "NO RUN"
    assert complaints(driver) == []


def test_the_map_changes_while_a_sweep_runs(driver, served):
    open_page(driver, served)
    before = settled(driver)
    served.experiment.frames_sent += 60
    served.experiment.seed += 1
    served.publish("map/", "sweep")
    wait_for(driver, f"{PIXELS % 's'} !== {before}")
    assert complaints(driver) == []


def test_the_colours_are_right_where_the_value_is_known(driver, served):
    """Field expelled is blue, enhanced is red, unresolved is neither and hatched, by looking at the pixels."""
    served.experiment.points_done = 1
    open_page(driver, served)
    found = driver.execute_script(
        """const c = document.querySelector('[data-key=s] canvas.base');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        const n = { blue: 0, red: 0, green: 0, white: 0 };
        for (let i = 0; i < d.length; i += 4) {
          const [r, g, b] = [d[i], d[i + 1], d[i + 2]];
          if (b > r + 60) n.blue++;
          if (r > b + 60) n.red++;
          if (g > r + 40 && g > b + 40) n.green++;
          if (r > 235 && g > 235 && b > 235) n.white++;
        } return n;"""
    )
    assert all(count > 200 for count in found.values()), found


def test_a_click_gives_the_spectrum_of_that_pixel(driver, served):
    open_page(driver, served)
    wait_for(driver, "document.querySelector('[data-key=inspect]').dataset.state === 'fresh'")
    before = text(driver, "[data-key=inspect] .sub").split(" px")[0]
    ActionChains(driver).move_to_element_with_offset(map_canvas(driver), -60, 10).click().perform()
    wait_for(driver, f"!document.querySelector('[data-key=inspect] .sub').textContent.startsWith('{before}')")
    said = text(driver, "[data-key=inspect] .sub")
    for word in ("px", "s = ", "σZZ 21.10 GPa", "χ² 1.04", "ok"):
        assert word in said
    asked = served.asked[-1]
    assert (asked.y1 - asked.y0, asked.x1 - asked.x0) == (1, 1)
    assert f"({asked.x0}, {asked.y0}) px" in said
    assert asked.run_uid == served.experiment.run_uid


def test_a_drag_gives_the_mean_spectrum_of_the_region(driver, served):
    open_page(driver, served)
    canvas = map_canvas(driver)
    chain = ActionChains(driver).move_to_element_with_offset(canvas, -80, -20)
    chain.click_and_hold().move_by_offset(60, 40).release().perform()
    wait_for(driver, "document.querySelector('[data-key=inspect] .sub').textContent.includes('×')")
    asked = served.asked[-1]
    assert asked.x1 - asked.x0 > 1
    assert asked.y1 - asked.y0 > 1


def test_the_inspected_pixel_moves_by_keyboard(driver, served):
    open_page(driver, served)
    wait_for(driver, "document.querySelector('[data-key=inspect]').dataset.state === 'fresh'")
    first = served.asked[-1]
    map_canvas(driver).send_keys(Keys.ARROW_RIGHT)
    wait_for(
        driver,
        f"document.querySelector('[data-key=inspect] .sub').textContent.includes('({first.x0 + 1}, {first.y0})')",
    )


def test_a_spectrum_that_cannot_be_had_says_why(driver, served):
    served.refusal = "the builder is gone"
    open_page(driver, served)
    wait_for(driver, "document.querySelector('[data-key=inspect] .sub').textContent.includes('does not answer')")


@pytest.mark.parametrize("mode", ["LIVE", "SIMULATED", "REPLAY"])
def test_the_mode_of_the_run_cannot_be_overlooked(driver, served, mode):
    served.experiment.mode = mode
    open_page(driver, served)
    wait_for(driver, f"document.getElementById('badge').textContent.includes('{mode}')")
    assert driver.execute_script("return document.getElementById('stripe').dataset.mode") == mode
    assert (f"[{mode}]" in driver.title) is (mode != "LIVE")


def test_what_is_old_is_marked_and_what_is_fresh_is_not(driver, served):
    old = time.time() - 60
    served.publish("map/", "spectrum", "workers", time_s=old)
    served.publish("run", "sweep", "camera", "frame", "plan", "decision", "curve", "transport")
    served.publish("device/", time_s=old)
    driver.get(served.url)
    for key in ("s", "sigma_zz", "mean", "workers", "devices"):
        wait_for(driver, f"document.querySelector('[data-key={key}]')?.dataset.state === 'stale'")
        assert "STALE" in text(driver, f"[data-key={key}] .age")
    assert driver.execute_script("return document.querySelector('[data-key=frame]').dataset.state") == "fresh"
    assert driver.execute_script("return document.querySelectorAll('.device[data-old]').length") == 8
    assert driver.execute_script("return document.getElementById('now-field').classList.contains('stale')")
    served.publish("map/s", "device/")
    wait_for(driver, FRESH)
    wait_for(driver, "document.querySelectorAll('.device[data-old]').length === 0")


def test_a_map_grows_stale_by_itself_during_a_sweep_but_not_after_it(driver, served):
    almost = time.time() - 4.0
    served.publish(time_s=almost)
    driver.get(served.url)
    wait_for(driver, FRESH)
    wait_for(driver, "document.querySelector('[data-key=s]').dataset.state === 'stale'")
    served.experiment.final = True
    served.experiment.frames_sent = served.experiment.frames_total
    served.publish("map/s", time_s=almost - 60)
    served.publish("sweep", "camera")
    wait_for(driver, FRESH)
    assert "1 min ago" in text(driver, "[data-key=s] .age") or " s ago" in text(driver, "[data-key=s] .age")


def test_an_instrument_that_is_gone_is_shown_as_gone(driver, served):
    open_page(driver, served)
    for source, channel, header, arrays in served.experiment.monitor():
        if channel == "device/magnet":
            served.subscriber.publish(source, channel, header | {"connected": False, "severity": "INVALID"}, arrays)
    wait_for(driver, "document.querySelector('.device[data-key=magnet]')?.dataset.severity === 'INVALID'")
    row = text(driver, ".device[data-key=magnet]")
    assert "✕" in row
    assert "not connected" in row


def test_frames_that_the_camera_lost_are_counted_beside_the_workers(driver, served):
    open_page(driver, served)
    (camera,) = [row for row in served.experiment.publications() if row[:2] == ("camera", "camera")]
    served.subscriber.publish(*camera[:2], camera[2] | {"frames_lost": 3}, camera[3])
    served.publish("workers")
    wait_for(driver, "document.body.textContent.includes('3 lost by the camera')")


def test_the_error_of_the_mean_spectrum_is_widened_by_its_misfit(driver, served):
    open_page(driver, served)
    source, channel, header, arrays = next(p for p in served.experiment.publications() if p[1] == "spectrum/mean")
    served.subscriber.publish(source, channel, header, {**arrays, "sigma": arrays["sigma"] / 10})
    wait_for(driver, "document.querySelector('[data-key=mean] .sub').textContent.includes('error widened by √χ²')", 20)
    shown = text(driver, "[data-key=mean] .sub")
    assert float(shown.split("±")[1].split()[0]) > 5 * header["sigma_s"]


def test_decision_phases_progress_and_events_are_told(driver, served):
    open_page(driver, served)
    told = "70 K(stage) is being measured, then 74, 78, 82 K if unchanged"
    wait_for(driver, f"document.querySelector('.next-value')?.textContent === '{told}'")
    assert "expected to lose diamagnetism" in text(driver, ".reason")
    states = driver.execute_script("return [...document.querySelectorAll('#phases li')].map((li) => li.dataset.state)")
    assert states == ["done", "done", "done", "now", "next"]
    assert text(driver, "#points") == "7 of 14 temperatures (with reference)"
    assert text(driver, "#left") == "≈ 2 min left"
    story = text(driver, "#story")
    assert story.startswith(
        "Measuring at stage 70.0 K (sample 70.0 K), 97 G: frame 312 of 480 · then 74 K if nothing changes"
    )
    assert "stage 70.0 K was chosen, since 38 % of the superconducting pixels" in story
    assert "where s returns to 1, that pixel has passed its Tc" in text(driver, "#what")
    assert "▲" in text(driver, ".events ol")
    # a door that was open is shut again: of the two warnings one stands
    door = [{"time_s": 1.0 + i, "severity": s, "source": "guard", "text": "a door", "about": "door"}
            for i, s in enumerate(("MAJOR", "NO_ALARM"))]  # fmt: skip
    served.subscriber.publish("guard", "events", {"events": door}, {})
    wait_for(driver, "document.querySelector('.events .sub').textContent === '1 warning · 1 passed'", 20)
    tiles = driver.execute_script("return [...document.querySelectorAll('.tile')].map((t) => t.className)")
    assert tiles.count("tile ") == 7
    assert tiles.count("tile now") == 1
    assert tiles.count("tile plan") == 6
    served.experiment.final = True
    served.experiment.frames_sent = served.experiment.frames_total
    served.publish("map/s", "sweep", "camera")
    source, channel, header, arrays = next(p for p in served.experiment.session() if p[1] == "decision")
    served.subscriber.publish(source, channel, header | {"next_temperature_k": 74.0}, arrays)
    wait_for(driver, "document.querySelectorAll('.tile.next').length === 1")
    wait_for(driver, "document.querySelector('#story').textContent.includes('· then 74 K, since 38 % of the')")


def test_what_s_is_expected_to_be_is_drawn_ahead_with_its_band_and_goes_with_its_run(driver, served):
    served.publish(*(c for c in ("run", "sweep", "map/s", "curve/s", "camera", "plan")))
    driver.get(served.url)
    wait_for(driver, FRESH)
    ink = """(() => { const c = document.querySelector('[data-key=curves] canvas');
      const d = c.getContext('2d').getImageData(c.width * 0.6, 0, c.width * 0.35, c.height * 0.55).data;
      let n = 0; for (let i = 0; i < d.length; i += 4) if (Math.abs(d[i] - d[i + 1]) > 18) n++; return n; })()"""
    wait_for(driver, "document.querySelector('[data-key=curves]').dataset.state === 'fresh'")
    before = driver.execute_script(f"return {ink}")
    assert driver.execute_script("return document.querySelector('[data-key=curves] canvas').dataset.foretold") == "0"
    served.publish("curve/expected")
    wait_for(driver, "document.querySelector('[data-key=curves] canvas').dataset.foretold === '2'")
    assert driver.execute_script(f"return {ink}") > before + 300


def test_every_phase_of_every_plan_is_explained():
    known = re.findall(r'^  "?([a-z-]+)"?: "Now ', (STATIC / "head.js").read_text(), re.M)
    assert known == [key for phases in (ZFC, REMNANT, STRESS_PHASES) for key, _ in phases]


def test_a_sweep_that_has_just_begun_does_not_blank_what_the_last_one_found(driver, served):
    open_page(driver, served)
    before = settled(driver)
    for source, channel, header, arrays in served.experiment.builder():
        if channel == "map/s":
            nothing = {"value": np.full_like(arrays["value"], np.nan), "status": np.ones_like(arrays["status"])}
            served.subscriber.publish(source, channel, header | {"sweep": 9, "temperature_k": 74.1}, nothing)
    wait_for(driver, "document.querySelector('[data-key=s] .sub').textContent.includes('74.1 K has no values yet')")
    assert driver.execute_script(f"return {PIXELS % 's'}") == before
    assert "sample 70.0 K" in text(driver, "[data-key=s] .sub")


def test_nothing_leaves_the_host(driver, served):
    open_page(driver, served)
    names = driver.execute_script("return performance.getEntries().map((e) => e.name).filter((n) => n.includes('://'))")
    assert names
    assert all(name.startswith(served.url) for name in names), names
    blocked = driver.execute_async_script(
        """const done = arguments[0];
        document.addEventListener('securitypolicyviolation', (e) => done(e.effectiveDirective), { once: true });
        fetch('http://198.51.100.1/').catch(() => 0);"""
    )
    assert blocked == "connect-src"
    complaints(driver)


def test_a_second_viewer_sees_the_same(driver, served):
    open_page(driver, served)
    first = driver.current_window_handle
    before = settled(driver)
    driver.switch_to.new_window("window")
    try:
        size = {"width": 1920, "height": 1080, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(served.url)
        wait_for(driver, FRESH)
        wait_for(driver, f"{PIXELS % 's'} === {before}")
        assert driver.execute_script("return document.querySelectorAll('.tile').length") == 14
    finally:
        driver.close()
        driver.switch_to.window(first)


def test_another_run_shows_nothing_of_the_one_before(driver, served):
    open_page(driver, served)
    served.experiment.run_uid = "another"
    served.publish("run")
    wait_for(driver, "document.querySelector('[data-key=s]').dataset.state === 'waiting'")
    served.publish("map/s")
    wait_for(driver, FRESH)


def test_a_server_that_is_gone_makes_everything_stale_and_comes_back(driver, experiment):
    from serving import serving

    with serving(experiment) as page:
        open_page(driver, page)
        port = page.port
    wait_for(driver, "!document.getElementById('offline').hidden")
    wait_for(driver, "[...document.querySelectorAll('.panel')].every((p) => p.dataset.state !== 'fresh')")
    with serving(experiment, port) as page:
        page.publish()
        wait_for(driver, "document.getElementById('offline').hidden", 15)
        wait_for(driver, FRESH)


def test_the_theme_can_be_changed_and_is_kept(driver, served):
    open_page(driver, served)
    dark = driver.execute_script("return getComputedStyle(document.body).color")
    driver.find_element(By.ID, "theme").click()
    assert driver.execute_script("return document.documentElement.dataset.theme") == "light"
    assert driver.execute_script("return getComputedStyle(document.body).color") != dark
    driver.get(served.url)
    wait_for(driver, "document.documentElement.dataset.theme === 'light'")
    driver.find_element(By.ID, "theme").click()


@pytest.mark.parametrize("where", ["live", "stress", "gallery", "runs", "system"])
@pytest.mark.parametrize(("width", "height"), [(2560, 1440), (1920, 1080), (1280, 1000)])
def test_everything_fits_without_scrolling(driver, served, width, height, where):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    open_page(driver, served)
    driver.execute_script("location.hash = arguments[0]", where)
    wait_for(driver, f"!document.querySelector('main[data-page={where}]').hidden")
    over = driver.execute_script(
        """const d = document.documentElement;
        const out = [...document.querySelectorAll('main:not([hidden]) .panel, header, nav')].filter((p) => {
          const r = p.getBoundingClientRect();
          return r.right > innerWidth + 1 || r.bottom > innerHeight + 1 || r.width < 60 || r.height < 20; });
        return [d.scrollWidth > innerWidth, d.scrollHeight > innerHeight, out.map((p) => p.className)];"""
    )
    assert over == [False, False, []]
    full = {"width": 1920, "height": 1080, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", full)
