"""What is stored, as the page is told of it."""

from __future__ import annotations

import logging
import threading

import numpy as np
from stored import documents, store_run

from dashboard.shelf import Shelf
from stream.maps_file import write_maps


class Page:
    """A page that looks at the stored runs."""

    def is_wanted(self, channel):
        return channel == "runs"

    def header(self, _channel):
        return {}


def test_a_sweep_with_neither_s_nor_stress_stops_no_other_picture(tmp_path, caplog):
    store_run(tmp_path, "older-run", started_s=1.6e9)
    planes = {"status": np.zeros((48, 48), "u1")}
    words = dict.fromkeys(planes, "")
    facts = {"sweep_start": {"sweep": 0, "role": "SINGLE"}, "temperature_k": 300.0, "field_gauss": 0.0}
    write_maps(tmp_path / "processed" / "single-run" / "abcdef012345" / "sweep_0000.h5", planes, words, words, facts)
    documents(tmp_path, "single-run", 1, {}, 1.7e9)
    found, shown = [], threading.Event()

    def sink(updates):
        found.extend(update.channel for update in updates)
        if sum(channel.startswith("gallery/older-run/") for channel in found) == 3:
            shown.set()

    shelf = Shelf(str(tmp_path), "", Page(), sink)
    with caplog.at_level(logging.ERROR):
        shelf.start()
        try:
            assert shown.wait(20), found
        finally:
            shelf.close()
    assert not caplog.records
    assert not any("single-run" in channel for channel in found)
