"""The how-to page, done: a new map on the page by one declaration, without JavaScript."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from browser import complaints, wait_for
from serving import serving
from test_page import FRESH, text

from dashboard import server, views
from dashboard.views import View

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-view.md"


def declared() -> tuple[View, ...]:
    """Return what the page's second block of Python declares."""
    return eval(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1], {"View": View})


def test_a_map_is_added_as_the_how_to_says(driver, experiment, monkeypatch):
    more = declared()
    monkeypatch.setattr(views, "VIEWS", (*views.VIEWS, *more))
    monkeypatch.setattr(server, "page_description", views.page_description)
    with serving(experiment) as page:
        driver.get("about:blank")
        complaints(driver)
        page.publish()
        driver.get(page.url)
        wait_for(driver, FRESH)
        panel = "document.querySelector('[data-key=fwhm]')"
        wait_for(driver, f"{panel}?.dataset.state === 'waiting'")
        assert "Waiting for the first sweep" in text(driver, "[data-key=fwhm] .waiting")
        value = np.full((48, 48), 15.0, "f4")
        value[:24] = 18.0
        header = experiment.map_header("MHz")
        page.subscriber.publish("builder", "map/fwhm", header, {"value": value, "status": np.zeros((48, 48), "u1")})
        wait_for(driver, f"{panel}.dataset.state === 'fresh'")
        assert "MHz" in text(driver, "[data-key=fwhm] .sub")
        assert complaints(driver) == []
