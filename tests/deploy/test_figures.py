"""The figures of a run, as far as the page shows the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from dashboard.colour import EXCLUDED, POINTS
from deploy.figures import FiguresProcess, SweepPicture, map_on, points_figure
from stream.document_log import write_log

ORDER = ("suppressed", "enhanced", "hole", "outside")
"""As in the rig file, so as on the page."""


def test_marked_points_have_the_colours_of_the_page(tmp_path: Path) -> None:
    places = {name: [float(i), 0.0] for i, name in enumerate(ORDER)}
    start: dict[str, Any] = {"uid": "run", "time": 0.0, "regions": {"points": places}}
    write_log(tmp_path, "run", [("start", start)])
    kept = {"regions": {"points": dict(sorted(places.items()))}, "pixel_size_um": 1.0}
    planes = {name: np.ones((9, 9)) for name in ("s", "sigma_s")}
    sweeps = [SweepPicture("WARMING", t, planes, kept) for t in (20.0, 30.0)]
    figure = points_figure(sweeps, FiguresProcess(str(tmp_path), "run", ""))
    handles, names = figure.axes[0].get_legend_handles_labels()
    shown = {name: to_rgb(cast("Any", bars).lines[0].get_color()) for name, bars in zip(names, handles, strict=True)}
    assert shown == {name: tuple(v / 255 for v in POINTS[i]) for i, name in enumerate(ORDER)}


def test_the_ruby_is_grey_and_the_scale_bar_has_its_length() -> None:
    s, status = np.ones((40, 40), np.float32), np.zeros((40, 40), np.uint8)
    s[5:9, 5:9], status[5:9, 5:9] = np.nan, 9
    s[20, 20], status[20, 20] = np.nan, 1
    facts = {"pixel_size_um": 2.0, "regions": {}, "status_codes": {"1": "LOW_SNR: noise", "9": "OCCLUDED: ruby"}}
    axis = Figure().subplots()
    map_on(axis, SweepPicture("WARMING", 20.0, {"s": s, "s_status": status}, facts), "s", "RdBu_r", (0.9, 1.1))
    _, ruby = axis.images
    grey = np.asarray(ruby.to_rgba(ruby.get_array()))
    assert np.count_nonzero(grey[..., 3]) == 16  # the unresolved pixel is not excluded
    assert tuple(grey[6, 6, :3]) == tuple(v / 255 for v in EXCLUDED)
    assert [text.get_text() for text in axis.texts] == ["20 um"]
