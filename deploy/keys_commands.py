"""`nvdac keys`: the keys that let workers on other hosts in."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.errors import DeployError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Keys of workers on other hosts: secret keys never leave their host.",
    epilog="Example: nvdac keys new   (then, on the camera's host: nvdac keys allow lab2 KEY)",
)


@app.command(epilog="Example: nvdac keys new")
def new(
    replace: Annotated[bool, typer.Option("--replace", help="Make another in place of the present one.")] = False,
) -> None:
    """Make this host's keys; the secret one stays here (0600), the public one is printed."""
    from stream.keys import KeysError, new_pair

    try:
        typer.echo(new_pair(replace))
    except KeysError as error:
        raise DeployError(str(error)) from error


@app.command(epilog="Example: nvdac keys show")
def show() -> None:
    """Print this host's public key."""
    from stream.keys import KeysError, own_pair

    try:
        typer.echo(own_pair()[0])
    except KeysError as error:
        raise DeployError(str(error)) from error


@app.command(epilog="Example: nvdac keys allow lab2 'KEY'   (quote the key)")
def allow(
    name: Annotated[str, typer.Argument(help="Name of the worker's host.")],
    key: Annotated[str, typer.Argument(help="Its public key, as `nvdac keys new` printed it there.")],
) -> None:
    """On the camera's host: admit a host's workers, from their next connection on."""
    from stream.keys import KeysError
    from stream.keys import allow as admit

    try:
        admit(name, key)
    except KeysError as error:
        raise DeployError(str(error)) from error
    typer.echo(f"{name} is admitted")


@app.command(epilog="Example: nvdac keys revoke lab2")
def revoke(
    name: Annotated[str, typer.Argument(help="Name of the worker's host.")],
    key: Annotated[str, typer.Argument(help="Only this one of its keys.")] = "",
) -> None:
    """On the camera's host: admit a host no longer, from its next connection on."""
    from stream.keys import KeysError
    from stream.keys import revoke as dismiss

    try:
        gone = dismiss(name, key)
    except KeysError as error:
        raise DeployError(str(error)) from error
    if not gone:
        raise DeployError(f"no such key of {name!r} is admitted; see `nvdac keys list`")
    typer.echo(f"{name}: {gone} key{'s' if gone > 1 else ''} admitted no longer")


@app.command("list", epilog="Example: nvdac keys list")
def list_() -> None:
    """On the camera's host: print the names and public keys that are admitted."""
    from stream.keys import KeysError, allowed

    try:
        admitted = allowed()
        for key, name in admitted.items():
            typer.echo(f"{name:<16} {key}")
        if not admitted:
            typer.echo("nobody is admitted; admit a host: nvdac keys allow NAME KEY", err=True)
    except KeysError as error:
        raise DeployError(str(error)) from error


@app.command(epilog="Example: nvdac keys server 'KEY'   (quote the key)")
def server(
    key: Annotated[str, typer.Argument(help="Public key of the camera's host: `nvdac keys show` prints it there.")],
) -> None:
    """On a worker's host: keep the public key of the camera's host."""
    from stream.keys import KeysError, set_server_key

    try:
        set_server_key(key)
    except KeysError as error:
        raise DeployError(str(error)) from error
    typer.echo("the camera's host is known")
