"""The Redis of a fleet, on the master's host: as `es.redis_config` sets it up, new with every start."""

import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from es import protocol, redis_config
from es.errors import RedisError, RedisUnavailableError
from es.protocol import Login, MasterClient
from es.redis_server import find_binary

ANYWHERE = "* -::*"  # the security group says who gets here
START_SECONDS = 20.0
STOP_SECONDS = 10.0


class TlsRedis:
    """A server that lives as long as the ``with`` block; its keys never leave this host.

    Raises:
        RedisError: no server is installed, or it has no TLS, or it did not start.
    """

    def __init__(self, address: str, port: int, passwords: dict[str, str], max_memory_mb: int) -> None:
        """Start it.

        Args:
            address: of this host, for others.
            port: for TLS, on all of the host's addresses.
            passwords: of the users ``master`` and ``worker``.
            max_memory_mb: at which it refuses to take more.
        """
        self._directory = tempfile.TemporaryDirectory(prefix="es-redis-")
        folder = Path(self._directory.name)
        self.url = f"rediss://127.0.0.1:{port}"
        self.ca = folder / "ca.pem"
        for user, password in passwords.items():
            path = folder / f"{user}.password"
            path.touch(mode=0o600)
            path.write_text(password)
        redis_config.write(
            folder,
            [address, "127.0.0.1"],
            port=port,
            bind=ANYWHERE,
            max_memory_mb=max_memory_mb,
            redis_major=redis_config.installed_major() or redis_config.SELECTORS_SINCE,
        )
        self._login = Login("master", passwords["master"], str(self.ca))
        self._log = folder / "redis.log"
        self._command = [find_binary(), str(folder / "redis.conf")]
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            process = subprocess.Popen(self._command, stdout=output, stderr=output)
        deadline = time.monotonic() + START_SECONDS
        client = MasterClient(protocol.connect(self.url, self._login), self.url, run_id="")
        while True:
            try:
                client.check()
            except RedisUnavailableError:
                if time.monotonic() > deadline or process.poll() is not None:
                    process.kill()
                    process.wait()
                    last = self._log.read_text(errors="replace").strip().splitlines()[-1:]
                    raise RedisError(
                        f"{self._command[0]} did not start with TLS: {''.join(last) or 'no output'}"
                    ) from None
                time.sleep(0.05)
            else:
                return process

    def revive(self) -> None:
        """Start the server again, empty, if it ended."""
        if self._process.poll() is not None:
            self._process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._directory.cleanup()
