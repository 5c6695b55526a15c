"""Processes of one test, ended whatever happens."""

from __future__ import annotations

import pytest

from tests.stream.wire import Rig


@pytest.fixture
def rig(tmp_path_factory):
    rigs: list[Rig] = []

    def make(**settings) -> Rig:
        rigs.append(Rig(tmp_path_factory.mktemp("w"), **settings))
        return rigs[-1]

    yield make
    for item in rigs:
        item.close()
