"""The Redis of a fleet: TLS only, a certificate made on the spot, two users, nothing on disk."""

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from es import protocol
from es.errors import RedisError, RedisUnavailableError
from es.protocol import Login, MasterClient

SERVERS = ("redis-server", "valkey-server", "redis6-server")
START_SECONDS = 20.0
STOP_SECONDS = 10.0


class TlsRedis:
    """A server for everybody who knows a password; ends with the ``with`` block.

    Its certificate is its own authority, which clients pin. The key never leaves this host, so that a Redis
    that takes over elsewhere has another certificate.

    Raises:
        RedisError: no server with TLS is installed, or it did not start.
    """

    def __init__(self, port: int, passwords: dict[str, str]) -> None:
        """Start it.

        Args:
            port: on all addresses.
            passwords: of the users ``master`` and ``worker``.
        """
        self._directory = tempfile.TemporaryDirectory(prefix="es-redis-")
        folder = Path(self._directory.name)
        self.url = f"rediss://127.0.0.1:{port}"
        self.ca = folder / "certificate.pem"
        self._login = Login("master", passwords["master"], str(self.ca))
        self._log = folder / "redis.log"
        binary = next((found for name in SERVERS if (found := shutil.which(name))), None)
        if binary is None:
            raise RedisError(f"no Redis server found: expected one of {', '.join(SERVERS)}")
        _make_certificate(folder / "key.pem", self.ca)
        settings = folder / "redis.conf"
        settings.write_text(_settings(folder, port, passwords, selectors=_version(binary) >= 7))
        settings.chmod(0o600)
        self._command = [binary, str(settings)]
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


def _settings(folder: Path, port: int, passwords: dict[str, str], *, selectors: bool) -> str:
    lines = [
        "bind * -::*",
        "protected-mode no",
        "port 0",
        f"tls-port {port}",
        f"tls-cert-file {folder / 'certificate.pem'}",
        f"tls-key-file {folder / 'key.pem'}",
        f"tls-ca-cert-file {folder / 'certificate.pem'}",
        "tls-auth-clients no",
        'tls-protocols "TLSv1.2 TLSv1.3"',
        f"dir {folder}",
        'save ""',
        "appendonly no",
        "daemonize no",
        "user default off resetpass nocommands",
        protocol.master_acl("master", passwords["master"]),
        protocol.worker_acl("worker", passwords["worker"], selectors=selectors),
    ]
    return "".join(f"{line}\n" for line in lines)


def _make_certificate(key: Path, certificate: Path) -> None:
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", str(key), "-out", str(certificate), "-days", "60", "-subj", "/CN=opensim-es"),
        *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, umask=0o077)
    except OSError as error:
        raise RedisError(f"no openssl to make a certificate with: {error.strerror}") from error
    if done.returncode:
        raise RedisError(f"openssl made no certificate: {done.stderr.strip().splitlines()[-1:]}")



def _version(binary: str) -> int:
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"v=(\d+)", done.stdout)
    return int(match[1]) if match else 0
