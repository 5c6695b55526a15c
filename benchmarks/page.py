"""The live page in headless Chromium, on the real web process and a builder that publishes 512² maps 12 times a second.

`python -m benchmarks.page --json FILE [--seconds 10]`. A frame is a batch with a new map that was painted and
acknowledged; its paint lasts from the arrival of the batch to the end of the rendering step that shows it. A click
lasts from the release of the button to the new spectrum on the page. The server's load is that with six viewers.
`other_cpu_percent` is what the rest of the machine was busy with meanwhile, in percent of a core: where it is much, the
figures of six browsers say little.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from dashboard.settings import DashboardProcess, DashboardSettings
from stream.health import ready_path
from stream.settings import StreamSettings, dump_settings

LIMITS = {
    "fps_1_limit": 10.0,
    "paint_ms_p50_limit": 25.0,
    "paint_ms_p95_limit": 60.0,
    "fps_6_limit": 8.0,
    "click_ms_p95_limit": 120.0,
    "server_cpu_percent_limit": 5.0,
    "server_mb_limit": 150.0,
}
"""Least frames per second, most milliseconds, percent of a core and megabytes: what the figures are held against."""
RATE_HZ = 12.0
VIEWERS = 6
CLICKS = 40
START_S = 30.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-dev-shm-usage",
    "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows", "--window-size=1920,1080",
)  # fmt: skip
MAP_BYTES = 500_000
"""A message at least as long holds a map."""
WATCH = """
(() => {
  const watch = window.watch = { paints: [], clicks: [], frames: 0, map: false, since: 0 };
  const head = (data) => new TextDecoder().decode(new Uint8Array(data, 8, new DataView(data).getUint32(0, true)));
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(...from) {
      super(...from);
      this.addEventListener("message", ({ data }) => {
        // Beats are text; an answered question is no batch, and is not to start the clock of the next one.
        if (typeof data === "string" || !head(data).startsWith('{"batch"')) return;
        watch.since = performance.now();
        watch.map = data.byteLength > MAP_BYTES;
      });
    }
    send(text) {
      super.send(text);
      if (!text.startsWith('{"ack"')) return;
      const { since, map } = watch;
      if (!map) return;
      watch.frames++;
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => { watch.paints.push(performance.now() - since); port1.close(); };
      port2.postMessage(0);
    }
  };
  window.Socket = Socket;
  addEventListener("pointerup", (event) => { watch.clicked = event.timeStamp; }, true);
  watch.follow = () => {
    let words = "";
    new MutationObserver(() => {
      const now = document.querySelector("[data-key=inspect] .sub").textContent.split(" px")[0];
      if (now === words) return;
      words = now;
      if (watch.clicked) watch.clicks.push(performance.now() - watch.clicked);
      watch.clicked = 0;
    }).observe(document.querySelector("[data-key=inspect] .sub"), { childList: true });
  };
})();
""".replace("MAP_BYTES", str(MAP_BYTES))
"""Run in the page before its own code: counts frames and times them."""
FRESH = "return document.querySelector('[data-key=s]')?.dataset.state === 'fresh'"


@contextlib.contextmanager
def started(folder: Path) -> Generator[tuple[psutil.Process, str]]:
    """Run the web process and its builder; gives the former and the page's address."""
    stream = StreamSettings(runtime_dir=str(folder / "run"), data_dir=str(folder / "data"))
    (folder / "run").mkdir(mode=0o700)
    dump_settings(DashboardProcess(stream, DashboardSettings(port=0)), folder / "web.json")
    web = [sys.executable, "-m", "dashboard.server", str(folder / "web.json")]
    feed = [sys.executable, "-m", "benchmarks.page_feed", stream.runtime_dir, str(RATE_HZ)]
    with (
        open(folder / "web.log", "w") as log,
        subprocess.Popen(web, stderr=log) as server,
        subprocess.Popen(feed) as builder,
    ):
        try:
            wait_until(lambda: ready_path(stream, "web").exists() or server.poll() is not None)
            said = (folder / "web.log").read_text()
            yield psutil.Process(server.pid), said.split("the page is at ")[1].split()[0]
        finally:
            builder.kill()
            server.kill()


def wait_until(true: Any, timeout_s: float = START_S) -> None:
    """Poll until something is true.

    Raises
    ------
    TimeoutError
        Where it does not become so in time.
    """
    end = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("the page did not come up")
        time.sleep(0.05)


@contextlib.contextmanager
def chromium(folder: Path) -> Generator[Any]:
    """Start headless Chromium with a fresh profile."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def open_viewer(driver: Any, url: str) -> None:
    """Open the page in the present window, watched, and wait for its first map."""
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    size = {"width": 1920, "height": 1080, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(url)
    wait_until(lambda: driver.execute_script(FRESH))
    driver.execute_script("watch.follow()")


def look(driver: Any, seconds: float) -> tuple[list[float], list[float]]:
    """Let all windows run; return the frames per second of each, and all paint times, ms."""
    reset = "Object.assign(watch, { frames: 0, paints: [] }); return performance.now()"
    begun: dict[str, float] = {}
    for handle in driver.window_handles:
        driver.switch_to.window(handle)
        begun[handle] = float(driver.execute_script(reset))
    time.sleep(seconds)
    rates: list[float] = []
    paints: list[float] = []
    for handle in driver.window_handles:
        driver.switch_to.window(handle)
        frames, now, times = driver.execute_script("return [watch.frames, performance.now(), watch.paints]")
        rates.append(1000.0 * frames / (now - begun[handle]))
        paints += times
    return rates, paints


def click(driver: Any) -> list[float]:
    """Click one pixel after the other; return the time to each spectrum, ms."""
    box = driver.execute_script("return document.querySelector('[data-key=s] .overlay').getBoundingClientRect()")
    rng = np.random.default_rng(1)
    for number in range(CLICKS):
        across, down = rng.uniform(0.25, 0.6), rng.uniform(0.25, 0.75)
        at = {"x": box["x"] + across * box["width"], "y": box["y"] + down * box["height"]}
        for kind in ("mousePressed", "mouseReleased"):
            driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, **at, "button": "left", "clickCount": 1})
        wait_until(lambda: driver.execute_script("return !watch.clicked"))
        time.sleep(0.02 + 0.08 * number / CLICKS)  # no fixed phase against the maps
    return list(driver.execute_script("return watch.clicks"))


def cpu_s(processes: list[psutil.Process]) -> float:
    """Return the CPU time of processes that still run, s."""
    spent = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            spent += sum(process.cpu_times()[:2])
    return spent


def measure(folder: Path, seconds: float) -> dict[str, object]:
    """Return all figures."""
    with started(folder) as (server, url), chromium(folder) as driver:
        open_viewer(driver, url)
        (fps_1,), paints = look(driver, seconds)
        clicks = click(driver)
        for _ in range(VIEWERS - 1):
            driver.switch_to.new_window("window")
            open_viewer(driver, url)
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        server.cpu_percent()
        begun, spent, busy = time.monotonic(), cpu_s(family), sum(psutil.cpu_times()[:3])
        rates, paints_6 = look(driver, seconds)
        cpu_percent = server.cpu_percent()
        wall_s = time.monotonic() - begun
        others = 100.0 * max(0.0, sum(psutil.cpu_times()[:3]) - busy - (cpu_s(family) - spent)) / wall_s
        megabytes = server.memory_info().rss / 1e6
    return {
        "fps_1": round(fps_1, 2),
        "paint_ms_p50": round(float(np.percentile(paints, 50)), 1),
        "paint_ms_p95": round(float(np.percentile(paints, 95)), 1),
        "fps_6": round(min(rates), 2),
        "paint_6_ms_p50": round(float(np.percentile(paints_6, 50)), 1),
        "click_ms_p95": round(float(np.percentile(clicks, 95)), 1),
        "clicks": len(clicks),
        "server_cpu_percent": round(cpu_percent, 1),
        "server_mb": round(megabytes, 1),
        "published_hz": RATE_HZ,
        "load_average": round(os.getloadavg()[0], 2),
        "other_cpu_percent": round(others, 1),
        **LIMITS,
    }


def main() -> None:
    """Measure and write the JSON file; without a browser only why there are no figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each count of viewers is watched")
    arguments = parser.parse_args()
    result: dict[str, object] = {"skipped": "needs chromium and chromedriver (Debian: chromium, chromium-driver)"}
    if shutil.which("chromium") and shutil.which("chromedriver"):
        with tempfile.TemporaryDirectory(prefix="nv") as name:
            result = measure(Path(name), arguments.seconds)
    arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
