"""The ROUTERs that workers come through: one for this host and, where the rig says so, one for other hosts.

They are two sockets, not one with two addresses: whoever comes over TCP cannot take the name of a peer of this host.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import resource
from dataclasses import dataclass

import zmq

from stream.gatekeeper import Gatekeeper
from stream.keys import HELP, allowed, own_pair, server_key
from stream.settings import StreamSettings
from stream.sockets import CONTROL_BYTES, bind, open_socket

TCP_BEAT_MS = 1000
"""Interval at which ZeroMQ itself asks whether the other end of a TCP connection is there, ms."""
TCP_DEAD_MS = 5000
"""Time without an answer after which the connection is closed, ms."""
HANDSHAKE_MS = 3000
"""Longest time from a connection's beginning to the end of its handshake, ms."""
BACKLOG = 1024
"""Connections that may wait to be accepted."""


_ADDRESS = re.compile(r"tcp://([A-Za-z0-9.-]+):(\d{1,5})")

_log = logging.getLogger(__name__)


class TcpRefused(OSError):  # noqa: N818 - reads as a sentence
    """The rig's TCP settings are refused; the message is one line for people."""


@dataclass(frozen=True, eq=False)
class Door:
    """A ROUTER and where its peers are."""

    socket: zmq.Socket[bytes]
    """The ROUTER."""
    remote: bool
    """True for TCP: its peers have no ring and may be workers only."""
    gate: Gatekeeper | None = None
    """Who asks for keys; None without CURVE."""

    @property
    def denied(self) -> int:
        """Connections refused for want of an admitted key."""
        return 0 if self.gate is None else self.gate.denied

    def close(self) -> None:
        """Close the socket, then the gate."""
        self.socket.close()
        if self.gate is not None:
            self.gate.finish()


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from its own host alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_tcp(settings: StreamSettings) -> None:
    """Refuse TCP settings that cannot be served or must not be.

    Raises
    ------
    TcpRefused
        Where the address is not numeric, the port is none, or another host could connect without keys.
    stream.keys.KeysError
        Where `curve` is set and keys are missing or unsafe.
    """
    if not settings.tcp_port:
        return
    try:
        ipaddress.IPv4Address(settings.tcp_host)
    except ValueError as error:
        raise TcpRefused(
            f"[stream] tcp_host = {settings.tcp_host!r}: give the numeric IPv4 address of one of this host's networks"
        ) from error
    if not 1024 <= settings.tcp_port < 65535:
        raise TcpRefused(f"[stream] tcp_port = {settings.tcp_port}: allowed are 1024 to 65534 (results take the next)")
    if not is_loopback(settings.tcp_host) and not settings.curve:
        raise TcpRefused(
            f"[stream] tcp_host = {settings.tcp_host!r} is not loopback: other hosts need keys, set curve = true "
            f"and make them with `nvdac keys new` ({HELP})"
        )
    if settings.curve:
        own_pair()
        if not allowed():
            _log.warning("no key is admitted yet: `nvdac keys allow NAME KEY` (%s)", HELP)


def check_connect(settings: StreamSettings) -> None:
    """Refuse a connection to another host that is not protected.

    Raises
    ------
    TcpRefused
        Where the address is none, or is another host's and `curve` is not set.
    stream.keys.KeysError
        Where keys are missing.
    """
    found = _ADDRESS.fullmatch(settings.connect)
    if found is None or not 1024 <= int(found[2]) < 65535:
        raise TcpRefused(f"{settings.connect!r} is no address: give tcp://HOST:PORT of the camera's host")
    if settings.curve:
        own_pair()
        server_key()
    elif not is_loopback(found[1]):
        raise TcpRefused(f"{settings.connect} is another host: refused without keys ({HELP})")


def connect_options(socket: zmq.Socket[bytes], settings: StreamSettings) -> None:
    """Prepare a worker's socket for TCP, with its keys where they are asked for."""
    tcp_options(socket)
    if settings.curve:
        public, secret = own_pair()
        socket.setsockopt(zmq.CURVE_SERVERKEY, server_key().encode())
        socket.setsockopt(zmq.CURVE_PUBLICKEY, public.encode())
        socket.setsockopt(zmq.CURVE_SECRETKEY, secret.encode())


def tcp_options(socket: zmq.Socket[bytes]) -> None:
    """Make a socket notice that the other end of a TCP connection is gone."""
    socket.setsockopt(zmq.HEARTBEAT_IVL, TCP_BEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, TCP_DEAD_MS)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)


def open_doors(
    context: zmq.Context[zmq.Socket[bytes]], settings: StreamSettings, name: str, max_bytes: int = CONTROL_BYTES
) -> list[Door]:
    """Bind `frames` or `results` for this host and, where the rig says so, for others.

    Raises
    ------
    TcpRefused
        Where the TCP settings are refused or the port is taken.
    """
    check_tcp(settings)
    local = open_socket(context, zmq.ROUTER, max_bytes=max_bytes)
    bind(local, settings.endpoint(name))
    doors = [Door(local, remote=False)]
    if settings.tcp_port:
        _allow_many_connections()
        remote = open_socket(context, zmq.ROUTER, max_bytes=max_bytes)
        tcp_options(remote)
        remote.setsockopt(zmq.BACKLOG, BACKLOG)
        # before the socket is bound: without its gatekeeper a CURVE socket admits nobody
        doors.append(Door(remote, remote=True, gate=_guard(context, remote) if settings.curve else None))
        try:
            bind(remote, settings.tcp_endpoint(name))
        except zmq.ZMQError as error:
            for door in doors:
                door.close()
            raise TcpRefused(f"cannot listen at {settings.tcp_endpoint(name)}: {error}") from error
    return doors


def _guard(context: zmq.Context[zmq.Socket[bytes]], socket: zmq.Socket[bytes]) -> Gatekeeper:
    """Make a ROUTER admit listed keys only."""
    public, secret = own_pair()
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, public.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret.encode())
    socket.setsockopt(zmq.ZAP_DOMAIN, b"nvdac")
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    return Gatekeeper(context)


def _allow_many_connections() -> None:
    """Raise the soft limit of open files: connections of strangers must not use up those of the frames files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
