"""Pictures of every page in both themes, for people to look at; and what can be said of them without eyes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from browser import complaints, wait_for
from experiment import Experiment
from serving import serving
from stored import start_document, store_run, store_shear

READY = {
    "live": "document.querySelector('[data-key=inspect]')?.dataset.state === 'fresh'",
    "stress": "document.querySelector('[data-key=cut] canvas')?.dataset.rows > 5"
    " && document.querySelector('[data-key=tau]').dataset.state === 'fresh'",
    "gallery": "document.querySelectorAll('.gallery .cell:not(.none)').length === 7",
    "runs": "document.querySelectorAll('.run-row').length === 2",
    "system": "document.querySelectorAll('.process').length === 8",
}
CONTRAST = """
const light = (text) => { const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
  .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const panel = light(getComputedStyle(document.querySelector('main:not([hidden]) .panel')).backgroundColor);
const words = light(getComputedStyle(document.querySelector('main:not([hidden]) .panel h2')).color);
return (Math.max(panel, words) + 0.05) / (Math.min(panel, words) + 0.05);
"""


@pytest.fixture
def shots(tmp_path):
    """The folder of the pictures: NVDAC_SCREENSHOTS keeps them."""
    folder = Path(os.environ.get("NVDAC_SCREENSHOTS") or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


SIZES = {1280: 720, 1920: 1080, 2560: 1440}
CUT_OFF = """
const main = document.querySelector('main:not([hidden])');
return [...main.querySelectorAll('h2, th, td, .tile b, .name, .next-value, .reason, .waiting')].filter((e) => {
  if (!e.checkVisibility() || !e.textContent.trim()) return false;
  const holder = e.closest('.body, .head, .panel');
  const [a, b] = [e.getBoundingClientRect(), holder.closest('.panel').getBoundingClientRect()];
  const scrolls = ['auto', 'scroll'].includes(getComputedStyle(holder).overflowX)
    || ['auto', 'scroll'].includes(getComputedStyle(holder).overflowY);
  return !scrolls && (a.right > b.right + 1 || a.bottom > b.bottom + 1); }).map((e) => e.textContent);
"""


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A page with everything on it: a run under way, stored runs, the shear of its load."""
    folder = tmp_path_factory.mktemp("data")
    store_run(folder, "bbbb2222-run", sweeps=3, pressure_gpa=16.0, started_s=1.6e9)
    store_run(folder, "aaaa1111-run")
    store_shear(folder, "aaaa1111-run", size=96)
    experiment = Experiment(size=96)
    start_document(folder, experiment.run_uid, sample="S1", load_index=3)
    with serving(experiment, data_dir=str(folder)) as page:
        yield page


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("where", list(READY))
def test_every_page_has_a_picture_in_both_themes_and_all_sizes(driver, full, shots, where, width, theme):
    size = {"width": width, "height": SIZES[width], "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get("about:blank")
    complaints(driver)
    full.publish()
    driver.get(f"{full.url}?theme={theme}#{where}")
    wait_for(driver, READY[where], 30)
    path = shots / f"{where}-{theme}-{width}.png"
    driver.save_screenshot(str(path))
    assert driver.execute_script(CONTRAST) > 7.0
    assert driver.execute_script(CUT_OFF) == []
    assert complaints(driver) == []
    assert path.stat().st_size > 20_000


def test_a_low_window_scrolls_and_labels_keep_off_the_ruby(driver, full):
    size = {"width": 1456, "height": 676, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get("about:blank")
    full.publish()
    driver.get(f"{full.url}#live")
    wait_for(driver, READY["live"], 30)
    wait_for(driver, "document.querySelector('[data-key=decision] canvas').clientHeight > 90")
    assert driver.execute_script("return document.body.scrollHeight > innerHeight && document.body.scrollTop === 0")
    for said in ("#story", "#what"):
        assert driver.execute_script(
            f"const e = document.querySelector('{said}'); return e.scrollWidth <= e.clientWidth"
        )
    overlay = "document.querySelector('[data-key=s] .overlay').dataset"
    labels, (left, right, top, bottom) = driver.execute_script(
        f"return [{overlay}.labels, {overlay}.ruby].map(JSON.parse)"
    )
    assert {label["name"] for label in labels} == {"suppressed", "enhanced"}
    for label in labels:
        assert label["x1"] < left or label["x0"] > right or label["y1"] < top or label["y0"] > bottom
