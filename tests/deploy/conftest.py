"""Users of the command line: each with a short runtime folder, since the path of a socket ends at 107 characters."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy import processes
from deploy.site import running_sites
from tests.deploy.command import User

for _number, _handler in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    # what the tests start inherits it: under `nohup` or in the background it would rightly ignore what a test sends
    signal.signal(_number, _handler)


@contextmanager
def new_user(folder: Path) -> Iterator[User]:
    runtime = Path(tempfile.mkdtemp(prefix="nvdac-t-", dir="/tmp"))
    user = User(runtime, folder)
    try:
        yield user
    finally:
        with user.here():
            for site in running_sites():
                processes.stop(site)
        shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """A user of one test's own; whatever the test leaves running is ended."""
    with new_user(tmp_path) as one:
        yield one


@pytest.fixture(scope="module")
def module_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A user whom the tests of a module share."""
    with new_user(tmp_path_factory.mktemp("user")) as one:
        yield one
