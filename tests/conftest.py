"""Fixtures: a private Redis for each test, never one that is not ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from es.redis_server import RedisServer


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"
