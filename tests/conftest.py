"""Fixtures: a private Redis for each test, never one that is not ours."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from es.redis_server import RedisServer

# How fast this machine is today says nothing about the code. CI repeats its examples, so that a red run stays
# red until it is mended; elsewhere every run tries new ones.
settings.register_profile("project", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("project")


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"
