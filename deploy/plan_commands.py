"""Commands around plans: `nvdac calibrate`, `nvdac queue`."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.options import DataOption, JsonOption, SiteOption
from deploy.output import emit_json
from deploy.places import require_file


def calibrate(
    uid: Annotated[str, typer.Argument(help="Run of a calibration plan, or the first letters of its uid.")] = "",
    data: DataOption = None,
    site: SiteOption = None,
    json_file: JsonOption = None,
) -> None:
    """Write down what a calibration run says; without a run, show what is on record and how old it is."""
    import time
    from dataclasses import asdict

    from deploy import calibrate as work

    require_file(json_file, "--json")
    if not uid:
        typer.echo("\n".join(work.book_lines(data)) or "no calibration on record")
        return
    found = work.calibrate(uid, data, site)
    emit_json(asdict(found), json_file)
    if json_file is None:
        typer.echo("\n".join(work.lines_of(found, time.time())))


def queue(
    site: SiteOption = None,
    redis: Annotated[str, typer.Option(help="HOST:PORT of the Redis server that keeps the queue.")] = "127.0.0.1:6379",
    address: Annotated[
        str, typer.Option(help="ZeroMQ address of the manager; a socket in the site's folder if not given.")
    ] = "",
) -> None:
    """Serve the plans of a running site as a queue (bluesky-queueserver), until Ctrl-C."""
    from deploy.queue import serve_queue

    raise typer.Exit(serve_queue(site, redis, address))


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(epilog="Example: nvdac calibrate 3f2a91c0   (without a run: what is on record)")(calibrate)
    app.command(epilog="Example: nvdac queue --redis localhost:6379")(queue)
