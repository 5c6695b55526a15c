"""`nvdac guard`: what the interlocks say, and a person's word that a latched fault has been looked at."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.errors import DeployError
from deploy.options import JsonOption, SiteOption
from deploy.output import emit_json
from deploy.places import require_file

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Interlocks of a running site: what is wrong, what waits for a person.",
    epilog="Example: nvdac guard status   (then: nvdac guard acknowledge mains --by Ada --reason 'breaker reset')",
)


@app.command(epilog="Example: nvdac guard status")
def status(site: SiteOption = None, json_file: JsonOption = None) -> None:
    """Show what is wrong, what waits for a person, what is refused and why, and what the ledger says."""
    require_file(json_file, "--json")
    with _guard(site) as guard:
        found: dict[str, Any] = {
            "faults": _text(guard.faults),
            "latched": [name for name in _text(guard.latched).split(", ") if name],
            "history": _text(guard.history),
            "history_reason": _text(guard.history_reason),
            "refused": {name: why for name in guard.instruments() if (why := guard.why(name))},
        }
    emit_json(found, json_file)
    if json_file is None:
        typer.echo(f"wrong now: {found['faults'] or 'nothing'}")
        typer.echo(f"waits for a person: {', '.join(found['latched']) or 'nothing'}")
        for name, why in found["refused"].items():
            typer.echo(f"  {name:<10} {why}")
        typer.echo(f"history: {found['history']}: {found['history_reason']}")


@app.command(
    epilog="Example: nvdac guard acknowledge anvil --by Ada --reason 'both anvils are whole, ruby was out of focus'"
)
def acknowledge(
    fault: Annotated[str, typer.Argument(help="Name of the fault, as `nvdac guard status` has it.")],
    by: Annotated[str, typer.Option(help="Who has looked.")],
    reason: Annotated[str, typer.Option(help="What they found.")],
    site: SiteOption = None,
) -> None:
    """Let go of a latched fault whose cause has passed; name and reason go into the ledger."""
    with _guard(site) as guard:
        word = json.dumps({"fault": fault, "by": by, "reason": reason})
        if len(word.encode()) >= guard.LONGEST_WORD:
            raise DeployError("name and reason are too long: say it in one line")
        guard.acknowledge.put(word, wait=True, timeout=20.0)
        refused = _text(guard.acknowledge_reason)
    if refused:
        raise DeployError(f"not acknowledged: {refused}")
    typer.echo(f"{fault}: acknowledged by {by}; nothing restarts by itself")


@contextmanager
def _guard(site_name: str | None) -> Generator[Any]:
    """Connect the guard of a running site."""
    from deploy.environment import enter_environment
    from deploy.rig_file import load_rig
    from deploy.site import find_site

    site = find_site(site_name, needs="guard")
    devices = load_rig(Path(site.rig_file)).devices
    enter_environment(site)  # before EPICS is imported, which reads it once
    from devices.channel_access import quiet_repeater
    from devices.epics import DeviceError, wait_connected
    from devices.guard import GuardLink

    quiet_repeater()
    assert devices.guard is not None
    guard = GuardLink(devices.prefix, devices.guard, name="guard")
    try:
        wait_connected({"guard": guard}, devices.connect_timeout_s)
        yield guard
    except DeviceError as error:
        raise DeployError(str(error)) from error
    finally:
        guard.destroy()


def _text(signal: Any) -> str:
    from devices.waiting import fresh_value

    return str(fresh_value(signal)).strip()
