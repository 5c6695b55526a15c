"""Workers on other hosts from the command line: keys, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.rig_file import RIGS
from tests.deploy.command import User, one_line
from tests.stream.wire import free_ports


@pytest.fixture
def keys(user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of keys of the test's own."""
    monkeypatch.setitem(user.environment, "NVDAC_KEYS_DIR", str(tmp_path / "keys"))
    return tmp_path / "keys"


def rig(tmp_path: Path, lines: str) -> Path:
    path = tmp_path / "rig.toml"
    path.write_text((RIGS / "twin-s1.toml").read_text().replace("ring_mib = 128", f"ring_mib = 16\n{lines}"))
    return path


def test_keys_from_the_command_line(user: User, keys: Path) -> None:
    one_line(user.run("keys", "show"), "this host has no key")
    public = user.run("keys", "new").stdout.strip()
    assert len(public) == 40
    assert user.run("keys", "show").stdout.strip() == public
    one_line(user.run("keys", "new"), "there is a key")
    assert user.run("keys", "allow", "lab2", "--", public).stdout == "lab2 is admitted\n"
    assert user.run("keys", "list").stdout.split() == ["lab2", public]
    one_line(user.run("keys", "revoke", "lab3"), "no such key")
    assert user.run("keys", "revoke", "lab2").returncode == 0
    nobody = user.run("keys", "list")
    assert (nobody.stdout, nobody.returncode) == ("", 0)
    assert "nobody is admitted" in nobody.stderr
    one_line(user.run("keys", "allow", "lab2", "short"), "is not a key")
    secret = (keys / "secret").read_text()
    for arguments in (("show",), ("list",)):
        assert secret not in "".join(user.run("keys", *arguments).stdout)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('tcp_host = "0.0.0.0"\ntcp_port = 7701', "not loopback: other hosts need keys"),
        ('tcp_host = "0.0.0.0"\ntcp_port = 7701\ncurve = true', "this host has no key"),
        ('tcp_host = "lab2"\ntcp_port = 7701', "numeric IPv4 address"),
        ("tcp_port = 80", "allowed are 1024 to 65534"),
    ],
)
def test_other_hosts_without_keys_are_refused_before_anything_starts(
    user: User, keys: Path, tmp_path: Path, lines: str, says: str
) -> None:
    path = rig(tmp_path, lines)
    one_line(user.run("up", "--rig", path), says)
    user.assert_nothing_left()
    found = user.run("doctor", "--rig", path)
    assert found.returncode == 1
    assert says in found.stdout


def test_a_worker_is_refused_in_one_line(user: User, keys: Path) -> None:
    one_line(user.run("worker", "tcp://192.0.2.7:7701"), "this host has no key")
    one_line(user.run("worker", "lab2"), "no address")
    one_line(user.run("worker", f"tcp://127.0.0.1:{free_ports()}", "--name", "a b"), "no name for a worker")
    user.assert_nothing_left()
