"""`nvdac demo`: the whole measurement on the digital twin, from nothing running to numbers beside the truth."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from deploy import processes
from deploy.environment import enter_environment
from deploy.errors import DeployError
from deploy.foreground import driving
from deploy.launch import Parts, launch, make_site, wait_until_ready
from deploy.output import emit_json
from deploy.places import require_file, require_space
from deploy.plan_arguments import HISTORY_NEEDS, history_settings
from deploy.rig_file import RigFile, find_rig, load_rig
from deploy.setup_files import load_setup
from deploy.signals import held
from deploy.site import Site
from deploy.up import say_waiting

if TYPE_CHECKING:
    from deploy.demo_run import Outcome

DEMO_MIB = 768.0
"""Free space without which no demo starts, MiB: frames, maps and catalog take about a third of it."""


def run_demo(
    rig_name: str,
    data: Path | None,
    seed: int | None,
    *,
    exit_when_done: bool,
    json_file: Path | None,
    allow_control: bool = False,
) -> int:
    """Run the demonstration.

    Returns
    -------
    int
        Exit code: 0 when every result was written and no frame was lost, 4 otherwise.

    Raises
    ------
    DeployError
        Where the rig file is not a twin's or lacks what the plan needs, a file cannot be written, or a process does
        not start; then nothing is left running.
    """
    machine = str(json_file) == "-"
    say = _speaker(to_stderr=machine)
    require_file(json_file, "--json")
    path = find_rig(rig_name)
    rig = load_rig(path, {"twin": {"seed": seed}} if seed is not None else None)
    _require_demo(path, rig)
    load_setup(path, rig)
    name = _demo_name()
    data_dir = data or Path("data") / name
    require_space(data_dir, DEMO_MIB, "a demo")
    parts = Parts()
    site = make_site(name, path, rig, data_dir, parts)
    # Bluesky prints to standard output, which belongs to the JSON where that is asked for there
    quiet = contextlib.redirect_stdout(sys.stderr) if machine else contextlib.nullcontext()
    try:
        with quiet:
            site = launch(site, rig, parts, allow_control=allow_control)
            wait_until_ready(site, ["web"])
            say(f"live page: {site.web_url}")
            if site.control_url:
                say(f"live page with control, for you alone: {site.control_url}")
            wait_until_ready(site, report=say_waiting(say))
            result = _measure(site, rig, say)
        emit_json(result, json_file)
        if not exit_when_done:
            say(f"the page stays at {site.web_url}; Ctrl-C ends everything")
            _wait_for_interrupt()
    finally:
        with held():
            processes.stop(site)
            say(f"data: {site.data_dir} ({_size_mib(Path(site.data_dir)):.0f} MiB); processes ended")
    return 0 if result["frames_lost"] == 0 else 4


def _require_demo(path: Path, rig: RigFile) -> None:
    """Refuse a rig that the demo cannot run on, before anything starts."""
    if rig.twin is None:
        raise DeployError(
            f"{path} has no [twin]; the demo runs on the twin only (your own rig: nvdac up, nvdac session)"
        )
    missing = [name for name in HISTORY_NEEDS if getattr(rig.devices, name) is None]
    if missing:
        sections = ", ".join(f"[devices.{name}]" for name in missing)
        raise DeployError(f"{path}: the rig has no {' and '.join(missing)}, which the demo needs; add {sections}")
    try:
        history_settings(rig)
    except ValueError as error:
        raise DeployError(f"{path}: [plan]: {error}") from error


def _measure(site: Site, rig: RigFile, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the plan, evaluate it, draw the figures; return the numbers, which are in the data folder too."""
    enter_environment(site)  # before EPICS is imported, which reads it once
    from deploy.demo_run import run_history

    begin = time.monotonic()
    with driving(site, "nvdac demo"):
        outcome = run_history(site, rig, say)
    ended = time.monotonic()
    say("comparing with the twin's truth (half a minute) and drawing the figures")
    numbers = _evaluate(site, rig, outcome)
    compared = time.monotonic()
    result: dict[str, Any] = {
        "frames_sent": outcome.frames_sent,
        "frames_lost": outcome.frames_lost,
        **numbers,
        "reassignments": outcome.reassignments,
        "decisions_replayed_equal": outcome.decisions_replayed_equal,
        "seconds": round(ended - begin, 1),
        "comparison_seconds": round(compared - ended, 1),
        "run_uids": [outcome.run_uid],
        "version": outcome.version,
        "data": site.data_dir,
    }
    figures = _figures(site, outcome)
    for line in summary_lines(result):
        say(line)
    say("figures: " + ", ".join(figures))
    emit_json(result, Path(site.data_dir) / "demo.json")
    return result


def summary_lines(result: dict[str, Any]) -> list[str]:
    """Return what was found beside the truth, for people."""
    ladder = result["fixed_ladder_points"] or "more than any tried"
    return [
        f"measured in {result['seconds']:.0f} s: {result['frames_sent']} frames sent, {result['frames_lost']} lost",
        f"  s from {result['s_low']:.3f} to {result['s_high']:.3f} at the lowest temperature",
        f"  Tc: median error {result['tc_error_k']:.2f} K against the onset of the twin's noise-free s(T), "
        f"{100 * result['tc_resolved_fraction']:.1f} % of {result['tc_pixels']} pixels resolved",
        f"    {result['tc_local_error_k']:.2f} K against the sample's own Tc at the pixel: the sensor also sees "
        "the field of its surroundings",
        f"  {result['temperature_points']} temperatures beside the opening reference; "
        f"an equidistant ladder as good has {ladder}",
        f"  sigma_ZZ: median error {result['sigma_zz_error_gpa']:.2f} GPa, "
        f"{100 * result['sigma_zz_resolved_fraction']:.1f} % of the sample's pixels resolved",
    ]


def _evaluate(site: Site, rig: RigFile, outcome: Outcome) -> dict[str, Any]:
    """Compare with the truth in a process of its own: the plan's process does not load the compiled estimator."""
    settings: dict[str, Any] = {
        "twin": dataclasses.asdict(rig.twin) if rig.twin else {},
        "products": outcome.products,
        "out": str(Path(site.data_dir) / f"evaluation-{outcome.run_uid}.json"),
    }
    _run_module("deploy.evaluate", settings, site)
    return json.loads(Path(settings["out"]).read_text())


def _figures(site: Site, outcome: Outcome) -> list[str]:
    """Draw the figures in a process of its own."""
    folder = Path(site.data_dir) / "figures"
    settings = {
        "data_dir": site.data_dir,
        "run_uid": outcome.run_uid,
        "folder": str(folder),
        "transport_k": [row[0] for row in outcome.transport],
        "transport_ohm": [row[1] for row in outcome.transport],
    }
    _run_module("deploy.figures", settings, site)
    return [str(path) for path in sorted(folder.glob("*.png"))]


def _run_module(module: str, settings: dict[str, Any], site: Site) -> None:
    path = Path(site.runtime_dir) / "settings" / f"{module}.json"
    path.write_text(json.dumps(settings))
    result = subprocess.run(
        [sys.executable, "-m", module, str(path)],
        env=processes.process_environment(site),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if result.returncode != 0:
        raise DeployError(f"{module} failed:\n{result.stderr.strip()}")


def _speaker(*, to_stderr: bool) -> Callable[[str], None]:
    """Return what prints a line at once; to standard error where standard output belongs to JSON."""

    def say(text: str) -> None:
        typer.echo(text, err=to_stderr)

    return say


def _demo_name() -> str:
    """Return a name that no other demo has."""
    return f"demo-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"


def _size_mib(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


def _wait_for_interrupt() -> None:
    """Sleep until Ctrl-C."""
    try:
        signal.pause()
    except KeyboardInterrupt:
        typer.echo("", err=True)
