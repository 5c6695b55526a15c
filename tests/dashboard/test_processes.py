"""The page on real processes: web server, publishers; one of them is killed while the page is looked at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from browser import complaints, wait_for
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from web_process import free_port, wait_ready, web_process

from dashboard.feed import SILENT_S

PROGRAM = Path(__file__).with_name("publish_experiment.py")


@contextmanager
def publisher(runtime_dir, source):
    with subprocess.Popen([sys.executable, str(PROGRAM), runtime_dir, source], env=dict(os.environ)) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def folder():
    # short: ipc paths end at 107 characters
    with tempfile.TemporaryDirectory(prefix="nv") as name:
        yield Path(name)


def state(driver, key):
    return f"document.querySelector('[data-key={key}]')?.dataset.state"


def heard(driver, source):
    return f"document.querySelector('.source[data-source={source}]')?.dataset.heard"


def silent(driver, source):
    return driver.execute_script(f"return document.querySelector('.source[data-source={source}]').dataset.silent")


@pytest.mark.parametrize(
    ("source", "panels"), [("camera", ("frame",)), ("monitor", ("devices",)), ("session", ()), ("guard", ())]
)
def test_a_killed_camera_monitor_plan_or_guard_shows_as_what_it_is_and_its_panels_as_old(
    driver, folder, source, panels
):
    port = free_port()
    with ExitStack() as stack:
        _, stream = stack.enter_context(web_process(folder, port))
        wait_ready(folder)
        stack.enter_context(publisher(stream.runtime_dir, "builder"))
        killed = stack.enter_context(publisher(stream.runtime_dir, source))
        driver.get(f"http://127.0.0.1:{port}/")
        wait_for(driver, f"{heard(driver, source)} === 'heard'", 20)
        for key in panels:
            wait_for(driver, f"{state(driver, key)} === 'fresh'", 20)
        killed.send_signal(signal.SIGKILL)
        killed.wait(5)
        wait_for(driver, f"{heard(driver, source)} === 'lost'", 20)
        assert float(silent(driver, source)) > SILENT_S
        for key in panels:
            wait_for(driver, f"{state(driver, key)} === 'stale'", 20)
            age = driver.execute_script(f"return document.querySelector('[data-key={key}] .age').textContent")
            assert f"{source} silent" in age
        assert driver.execute_script(f"return {state(driver, 's')}") == "fresh"
        driver.get("about:blank")  # before the server ends: a page without one complains
        complaints(driver)


def test_a_killed_builder_shows_as_what_it_is_and_comes_back(driver, folder):
    port = free_port()
    with ExitStack() as stack:
        _, stream = stack.enter_context(web_process(folder, port))
        wait_ready(folder)
        stack.enter_context(publisher(stream.runtime_dir, "session"))
        stack.enter_context(publisher(stream.runtime_dir, "monitor"))
        builder = stack.enter_context(publisher(stream.runtime_dir, "builder"))
        driver.get(f"http://127.0.0.1:{port}/")
        wait_for(driver, f"{state(driver, 's')} === 'fresh'", 20)
        wait_for(driver, f"{heard(driver, 'builder')} === 'heard'")
        assert driver.execute_script(f"return {heard(driver, 'camera')}") == "never"
        ActionChains(driver).move_to_element_with_offset(
            driver.find_element(By.CSS_SELECTOR, "[data-key=s] .overlay"), -60, 30
        ).click().perform()
        wait_for(driver, "document.querySelector('[data-key=inspect] .sub').textContent.includes('σZZ 21.10 GPa')")
        builder.send_signal(signal.SIGKILL)
        builder.wait(5)
        wait_for(driver, f"{heard(driver, 'builder')} === 'lost'", 20)
        keys = ("s", "sigma_zz", "inspect")
        wait_for(driver, " && ".join(f"{state(driver, key)} === 'stale'" for key in keys), 20)
        assert "builder silent" in driver.execute_script(
            "return document.querySelector('[data-key=s] .age').textContent"
        )
        assert driver.execute_script(f"return {state(driver, 'devices')}") == "fresh"
        stack.enter_context(publisher(stream.runtime_dir, "builder"))
        wait_for(driver, f"{state(driver, 's')} === 'fresh'", 20)
        wait_for(driver, f"{heard(driver, 'builder')} === 'heard'")
        assert complaints(driver) == []
