from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def experiment():
    from experiment import Experiment

    return Experiment(size=48)


@pytest.fixture
def served(experiment):
    from serving import serving

    with serving(experiment) as page:
        yield page


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    from browser import CHROMIUM, DRIVER, browser

    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    with browser(tmp_path_factory.mktemp("chromium")) as started:
        yield started
