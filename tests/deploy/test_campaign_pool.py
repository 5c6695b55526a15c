"""What a campaign says where its helpers are not there."""

from __future__ import annotations

import sys

import pytest

from deploy.campaign_pool import pool
from deploy.errors import DeployError


def test_dask_that_is_not_installed_is_one_line_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DeployError, match=r"'\.\[dask\]'"), pool(1, "tcp://127.0.0.1:1"):
        pass
