"""Pictures of every page in both themes, for people to look at; and what can be said of them without eyes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from browser import complaints, wait_for
from serving import serving
from stored import store_run

READY = {
    "live": "document.querySelector('[data-key=inspect]')?.dataset.state === 'fresh'",
    "gallery": "document.querySelectorAll('.gallery .cell:not(.none)').length === 7",
    "runs": "document.querySelectorAll('.run-row').length === 2",
    "system": "document.querySelectorAll('.process').length === 7",
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


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("where", list(READY))
def test_every_page_has_a_picture_in_both_themes(driver, experiment, tmp_path, shots, where, theme):
    store_run(tmp_path, "bbbb2222-run", sweeps=3, pressure_gpa=16.0, started_s=1.6e9)
    store_run(tmp_path, "aaaa1111-run")
    with serving(experiment, data_dir=str(tmp_path)) as page:
        driver.get("about:blank")
        complaints(driver)
        page.publish()
        driver.get(f"{page.url}?theme={theme}#{where}")
        wait_for(driver, READY[where], 20)
        path = shots / f"{where}-{theme}.png"
        driver.save_screenshot(str(path))
        assert driver.execute_script(CONTRAST) > 7.0
        assert complaints(driver) == []
    assert path.stat().st_size > 20_000
