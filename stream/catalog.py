"""The connection to Tiled: one way in, one line when it fails, and the two top containers."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Generator
from typing import Any, cast
from urllib.parse import urlsplit

API_KEY_VARIABLE = "NVDAC_TILED_API_KEY"
"""Environment variable that holds the key of the Tiled server."""
RAW = "raw"
"""Container of the Bluesky runs."""
PROCESSED = "processed"
"""Container of the maps."""
_CONNECT_S = 2.0


class CatalogError(OSError):
    """Tiled cannot be used; the message is one line for people."""


def open_catalog(uri: str, api_key: str | None = None) -> Any:
    """Return the Tiled client of a server; the containers `raw` and `processed` are made where they are absent.

    The caller closes it with `close_catalog`, or uses `catalog`.

    Parameters
    ----------
    uri
        Address of the server, such as `http://127.0.0.1:8000`.
    api_key
        Key of the server; None takes it from the environment.

    Raises
    ------
    CatalogError
        Where the server does not answer or refuses the key.
    """
    probe(uri)
    with without_numba():
        from tiled.client.constructors import from_context
        from tiled.client.context import Context
    with readable_errors(uri):
        key = api_key or os.environ.get(API_KEY_VARIABLE)
        context, _ = Context.from_any_uri(uri, api_key=key, show_progress=False)
        try:
            client = cast("Any", from_context(context))
            _make_containers(client)
        except BaseException:
            context.close()
            raise
    return client


def close_catalog(client: Any) -> None:
    """Close the connections of a client."""
    client.context.close()


@contextlib.contextmanager
def catalog(uri: str, api_key: str | None = None) -> Generator[Any]:
    """Give the client of `open_catalog` and close it afterwards; failures of the server become `CatalogError`."""
    client = open_catalog(uri, api_key)
    try:
        with readable_errors(uri):
            yield client
    finally:
        close_catalog(client)


def probe(uri: str) -> None:
    """Hold that something listens there: the client itself tries for half a minute before it gives up.

    Raises
    ------
    CatalogError
        Where nothing does.
    """
    address = urlsplit(uri)
    try:
        with socket.create_connection((address.hostname or "", address.port or 80), timeout=_CONNECT_S):
            pass
    except OSError as error:
        raise CatalogError(f"Tiled at {uri} does not answer: {error.strerror or error}") from error


@contextlib.contextmanager
def without_numba() -> Generator[None]:
    """Import Tiled's clients without numba, which must not be loaded in the plan's process.

    dask registers the arrays of `sparse` where that package is there, and `sparse` loads numba; our arrays are dense.
    """
    if "sparse" in sys.modules:
        yield
        return
    sys.modules["sparse"] = cast("Any", None)
    try:
        yield
    finally:
        del sys.modules["sparse"]


@contextlib.contextmanager
def readable_errors(uri: str) -> Generator[None]:
    """Turn failures of the server into `CatalogError`."""
    import httpx
    from tiled.client.utils import ClientError

    try:
        yield
    except ClientError as error:
        if error.response.status_code in (401, 403):
            raise CatalogError(f"Tiled at {uri} refuses this key; set {API_KEY_VARIABLE} to the server's") from error
        raise CatalogError(f"Tiled at {uri} refuses: {str(error).splitlines()[0]}") from error
    except httpx.HTTPError as error:
        raise CatalogError(f"Tiled at {uri} failed: {error}") from error


def _make_containers(client: Any) -> None:
    from tiled.structures.core import Spec

    names = set(client)
    if RAW not in names:
        client.create_container(RAW, specs=[Spec("CatalogOfBlueskyRuns", "3.0")], metadata={})
    if PROCESSED not in names:
        client.create_container(PROCESSED, metadata={})
