"""The command line: `nvdac`. Each command imports what it needs when it runs, so that `--help` is instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy import campaign_commands, guard_commands, keys_commands, plan_commands
from deploy.errors import DeployError
from deploy.options import (
    ControlOption,
    DataOption,
    EverySiteOption,
    FieldOption,
    IngestDataOption,
    JsonOption,
    NewSiteOption,
    PixelSizeOption,
    RigOption,
    SiteOption,
    StoredSiteOption,
    TemperatureOption,
)
from deploy.output import emit_json
from deploy.places import explain, require_apart, require_file
from deploy.signals import catch_termination

app = typer.Typer(
    name="nvdac",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Real-time acquisition and analysis for wide-field NV microscopy in a diamond anvil cell.",
    epilog="Exit codes: 0 done, 1 refused or failed (one line says why), 2 wrong usage, 3 status: a process does not "
    "serve, 4 frames were lost, 130 interrupted, 143 terminated.",
)


@app.command(epilog="Example: nvdac demo --exit --json demo.json")
def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="End everything when the run is done.")] = False,
    json_file: JsonOption = None,
    rig: RigOption = "twin-s1",
    data: DataOption = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the twin; the rig file's if not given.", min=0)] = None,
    allow_control: ControlOption = False,
) -> None:
    """Run the whole measurement on the digital twin, with the live page."""
    from deploy.demo import run_demo

    code = run_demo(rig, data, seed, exit_when_done=exit_, json_file=json_file, allow_control=allow_control)
    raise typer.Exit(code)


@app.command(epilog="Example: nvdac up --rig twin-s1")
def up(
    rig: RigOption = "twin-s1",
    data: DataOption = None,
    site: NewSiteOption = None,
    allow_control: ControlOption = False,
    json_file: JsonOption = None,
) -> None:
    """Start the processes of a rig and leave them running."""
    from deploy.up import bring_up

    require_file(json_file, "--json")
    started = bring_up(rig, data, site, allow_control=allow_control)
    facts = {"site": started.name, "url": started.web_url, "tiled": started.tiled_uri, "data": started.data_dir}
    emit_json(facts | ({"control_url": started.control_url} if allow_control else {}), json_file)
    if json_file is None:
        if allow_control:
            typer.echo(f"live page with control, for you alone: {started.control_url}")
        typer.echo(f"{started.name}: live page {started.web_url}\ndata in {started.data_dir}; end it with `nvdac down`")


@app.command(epilog="Example: nvdac down --site demo-1")
def down(site: EverySiteOption = None) -> None:
    """End every running site, or the one named; data stay."""
    from deploy.down import end_sites

    ended = 0
    for one in end_sites(site):
        typer.echo(f"{one.name}: ended; data stay in {one.data_dir}")
        ended += 1
    if not ended:
        typer.echo("nothing is running")


@app.command(epilog="Example: nvdac status --json -   (exit code 3: a process does not serve)")
def status(site: EverySiteOption = None, json_file: JsonOption = None) -> None:
    """Show the running sites and their processes."""
    from deploy.status import site_rows

    require_file(json_file, "--json")
    rows = site_rows(site)
    emit_json(rows, json_file)
    if json_file is None:
        for row in rows:
            typer.echo(f"{row['site']}  {row['url']}  data in {row['data']}")
            if row["driver"]:
                typer.echo(f"  driven by {row['driver']}")
            for process in row["processes"]:
                typer.echo(f"  {process['name']:<12} {process['state']:<10} {process['detail']}")
        if not rows:
            typer.echo("nothing is running; start with `nvdac up` or `nvdac demo`")
    if not all(process["serves"] for row in rows for process in row["processes"]):
        raise typer.Exit(3)


@app.command(epilog="Example: nvdac session   (then: RE(sweep()), RE(history()), where())")
def session(site: SiteOption = None) -> None:
    """Open IPython with the RunEngine, the devices, the plans and the Tiled client of a running site."""
    from deploy.shell import open_shell

    open_shell(site)


@app.command(epilog="Example: nvdac ingest odmr.mat --signal M --frequency Ftot --frequency-unit GHz")
def ingest(
    file: Annotated[Path, typer.Argument(help="File of one wide-field measurement or of spectra.")],
    signal: Annotated[str, typer.Option(help="Name (dotted path) of the variable with the counts.")] = "",
    frequency: Annotated[str, typer.Option(help="Name of the frequency variable, or a file with it.")] = "",
    frequency_unit: Annotated[str, typer.Option(help="Hz, kHz, MHz or GHz; guessed and said so if not given.")] = "",
    axes: Annotated[
        str, typer.Option(help="Order of the axes, such as yxf or fyx; guessed and said so if not given.")
    ] = "",
    format_: Annotated[
        str, typer.Option("--format", help="gwide for the struct of that name; else from the file.")
    ] = "",
    electrons_per_count: Annotated[float, typer.Option(help="Camera gain; 0: noise from the spectra.", min=0.0)] = 0.0,
    offset_counts: Annotated[float, typer.Option(help="Counts of a dark frame.")] = 0.0,
    read_noise_electrons: Annotated[float, typer.Option(help="Read noise per exposure, electrons.", min=0.0)] = 0.0,
    accumulations: Annotated[
        int, typer.Option(help="Exposures averaged into one value; 0: what the file says.", min=0)
    ] = 0,
    lines: Annotated[int, typer.Option(help="Resonances per spectrum, stored with the run.", min=1, max=8)] = 2,
    sample: Annotated[str, typer.Option(help="Name of the sample.")] = "",
    temperature_k: TemperatureOption = None,
    field_gauss: FieldOption = None,
    pixel_size_um: PixelSizeOption = None,
    data: IngestDataOption = None,
    site: SiteOption = None,
    json_file: JsonOption = None,
) -> None:
    """Make a measured file a run in Tiled like any other; prints its uid, and on standard error where it is."""
    from deploy.files import ingest_file, read_options

    require_file(json_file, "--json")
    require_apart(file=file, frequency=frequency if Path(frequency).is_file() else None, json=json_file)
    options = read_options(
        signal,
        frequency,
        frequency_unit,
        axes,
        format_,
        electrons_per_count,
        offset_counts,
        read_noise_electrons,
        accumulations,
    )
    given = (temperature_k, field_gauss, pixel_size_um)
    result = ingest_file(file, options, lines, sample, data, site, given)
    for note in result["notes"]:
        typer.echo(f"note: {note}", err=True)
    emit_json(result, json_file)
    if json_file is None:
        of_site = f", the folder of the running site {result['site']}" if result["site"] else ""
        typer.echo(f"the run is in {result['data']}{of_site}", err=True)
        typer.echo(result["uid"])


@app.command(epilog="Example: nvdac replay 3f2a --lines 2 --speed max")
def replay(
    uid: Annotated[str, typer.Argument(help="Run uid, or its first letters.")],
    lines: Annotated[
        int | None, typer.Option(help="Resonances per spectrum; the run's own if not given.", min=1, max=8)
    ] = None,
    speed: Annotated[str, typer.Option(help="Factor on the recorded rate, or max.")] = "max",
    workers: Annotated[int, typer.Option(help="Fitting workers.", min=1, max=64)] = 2,
    policy: Annotated[
        bool, typer.Option("--policy", help="Replay the decisions instead: what the policy would do on the run today.")
    ] = False,
    data: DataOption = None,
    site: StoredSiteOption = None,
    json_file: JsonOption = None,
) -> None:
    """Send a stored run's frames through the same stream, workers and builder, and store the maps."""
    require_file(json_file, "--json")
    if policy:
        from deploy.replay_policy import lines as told
        from deploy.replay_policy import replay_policy

        decided = replay_policy(uid, data, site)
        emit_json(decided, json_file)
        if json_file is None:
            typer.echo("\n".join(told(decided)))
        return
    from deploy.replay import replay_run

    result = replay_run(uid, lines, speed, workers, data, site)
    emit_json(result, json_file)
    if json_file is None:
        typer.echo(f"{result['run_uid']}: maps in {result['maps']} (version {result['version']})")
    if result["frames_lost"]:
        raise typer.Exit(4)


@app.command(
    epilog="Example: nvdac fit odmr.mat --signal M --frequency Ftot --frequency-unit GHz --lines 2 --out maps.h5"
)
def fit(
    file_or_uid: Annotated[str, typer.Argument(help="A measured file, a frames file of nvdac, or a run uid.")],
    out: Annotated[Path, typer.Option("--out", help="HDF5 file of the maps.")] = Path("maps.h5"),
    lines: Annotated[
        int | None, typer.Option(help="Resonances per spectrum; the run's own, or 2, if not given.", min=1, max=8)
    ] = None,
    signal: Annotated[str, typer.Option(help="Name (dotted path) of the variable with the counts.")] = "",
    frequency: Annotated[str, typer.Option(help="Name of the frequency variable, or a file with it.")] = "",
    frequency_unit: Annotated[str, typer.Option(help="Hz, kHz, MHz or GHz; guessed and said so if not given.")] = "",
    axes: Annotated[
        str, typer.Option(help="Order of the axes, such as yxf or fyx; guessed and said so if not given.")
    ] = "",
    format_: Annotated[
        str, typer.Option("--format", help="gwide for the struct of that name; else from the file.")
    ] = "",
    electrons_per_count: Annotated[float, typer.Option(help="Camera gain; 0: noise from the spectra.", min=0.0)] = 0.0,
    offset_counts: Annotated[float, typer.Option(help="Counts of a dark frame.")] = 0.0,
    read_noise_electrons: Annotated[float, typer.Option(help="Read noise per exposure, electrons.", min=0.0)] = 0.0,
    accumulations: Annotated[
        int, typer.Option(help="Exposures averaged into one value; 0: what the file says.", min=0)
    ] = 0,
    joint: Annotated[
        bool, typer.Option("--joint", help="Add the stress from the spectra of all fields at once.")
    ] = False,
    bin_px: Annotated[
        int | None,
        typer.Option("--bin", help="Sum N x N pixels; the run's own if not given.", min=1, max=16),
    ] = None,
    temperature_k: TemperatureOption = None,
    field_gauss: FieldOption = None,
    pixel_size_um: PixelSizeOption = None,
    data: DataOption = None,
    site: StoredSiteOption = None,
    json_file: JsonOption = None,
) -> None:
    """Fit a file or a stored run without any server and write the maps."""
    from deploy.files import fit_to_file, read_options
    from deploy.fit_said import fit_text

    require_file(json_file, "--json")
    require_apart(file=file_or_uid, frequency=frequency if Path(frequency).is_file() else None, out=out, json=json_file)
    options = read_options(
        signal,
        frequency,
        frequency_unit,
        axes,
        format_,
        electrons_per_count,
        offset_counts,
        read_noise_electrons,
        accumulations,
    )
    given = (temperature_k, field_gauss, pixel_size_um)

    def say(text: str) -> None:
        typer.echo(text, err=True)

    result = fit_to_file(file_or_uid, options, lines, out, data, site, joint, bin_px, given, say)
    for note in result["notes"]:
        typer.echo(f"note: {note}", err=True)
    emit_json(result, json_file)
    if json_file is None:
        for text in fit_text(result):
            typer.echo(text)


@app.command(epilog="Example: nvdac recover --data data/nvdac   (exit code 4: something measured is lost)")
def recover(
    data: DataOption = None,
    site: SiteOption = None,
    tiled: Annotated[bool, typer.Option(help="Bring Tiled up to date too.")] = True,
    json_file: JsonOption = None,
) -> None:
    """After a process was killed: finish what can be finished, and say what could not."""
    from deploy.recover import recover as recover_runs
    from deploy.recover import report_lines

    require_file(json_file, "--json")
    result = recover_runs(data, site, tiled)
    emit_json(result, json_file)
    if json_file is None:
        for line in report_lines(result):
            typer.echo(line)
    if any(run["could_not"] for run in result["runs"]):
        raise typer.Exit(1)
    if any(run["lost"] for run in result["runs"]):
        raise typer.Exit(4)


@app.command(epilog="Example: nvdac resume   (after the session's process was killed, with the field on)")
def resume(site: SiteOption = None, json_file: JsonOption = None) -> None:
    """Go on with the field warming of a session that died, where the guard's ledger says that its history holds."""
    from deploy.resume import resume as resume_run

    require_file(json_file, "--json")
    result = resume_run(site, lambda text: typer.echo(text, err=True))
    emit_json(result, json_file)
    if json_file is None:
        typer.echo(f"{result['run_uid']} went on with {result['resumes']}: frames and maps are under the latter")


@app.command(epilog="Example: nvdac doctor --rig twin-s1 --warm")
def doctor(
    rig: RigOption = "twin-s1",
    warm: Annotated[
        bool, typer.Option("--warm", help="Compile the kernels that this rig needs, so that no run waits.")
    ] = False,
    data: DataOption = None,
    json_file: JsonOption = None,
) -> None:
    """Say what is missing or misconfigured, and how to mend it."""
    from deploy.doctor import examine

    require_file(json_file, "--json")
    findings = examine(rig, data, warm=warm)
    emit_json([finding.as_json() for finding in findings], json_file)
    if json_file is None:
        for finding in findings:
            typer.echo(finding.line())
    if any(not finding.ok for finding in findings):
        raise typer.Exit(1)


@app.command(epilog="Example: nvdac worker tcp://camera-host:7701 --name lab2-0")
def worker(
    address: Annotated[str, typer.Argument(help="tcp://HOST:PORT of the camera's host ([stream] tcp_port there).")],
    name: Annotated[
        str | None, typer.Option(help="Name of the worker, unique on the rig; made from this host's if not given.")
    ] = None,
) -> None:
    """Be a fitting worker for a camera on another host, until Ctrl-C."""
    from deploy.remote_worker import become_worker

    become_worker(address, name)


app.add_typer(keys_commands.app, name="keys")
app.add_typer(guard_commands.app, name="guard")
plan_commands.add_to(app)
campaign_commands.add_to(app)


def main() -> None:
    """Run the command line; what a user can mend is one line on standard error, not a traceback."""
    catch_termination()
    try:
        code = app(standalone_mode=False, prog_name="nvdac")
        if code == 130:  # typer takes the KeyboardInterrupt
            _refuse("interrupted", code)
    except DeployError as error:
        code = _refuse(str(error), error.exit_code)
    except typer.TyperException as error:
        code = _refuse_usage(error)
    except typer.Abort:
        code = _refuse("interrupted", 130)
    except OSError as error:
        code = _refuse(explain(error), 1)
    sys.exit(code)


def _refuse(text: str, code: int) -> int:
    typer.echo(f"nvdac: {text}", err=True)
    return code


def _refuse_usage(error: typer.TyperException) -> int:
    """Say what was wrong with the arguments; a command without any gets its help, which comes as the message."""
    text = error.format_message()
    if "\n" in text:
        typer.echo(text, err=True)
        return error.exit_code
    context: typer.Context | None = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "nvdac"
    return _refuse(f"{text.rstrip('.')}; see {command} --help", error.exit_code)


if __name__ == "__main__":
    main()
