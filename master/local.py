"""Workers on the master's own machine: one `es worker` process that cannot outlive us."""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from es.errors import RunDirectoryError, WorkersLostError
from es.protocol import Login

STOP_SECONDS = 30.0


class LocalWorker:
    """An agent with ``processes`` rollout processes, serving one run; what it says goes to ``log``.

    Raises:
        RunDirectoryError: the log cannot be written.
    """

    def __init__(self, url: str, login: Login, run_id: str, processes: int, log: Path) -> None:
        self._log = log
        try:
            output = log.open("ab")
        except OSError as error:
            raise RunDirectoryError(f"{log}: cannot write: {error.strerror}") from error
        with output:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "es.cli",
                    "worker",
                    f"--workers={processes}",
                    f"--run={run_id}",
                    "--lifeline",
                ],
                env=_environment(url, login),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches the master alone, which stops us itself
            )

    def check(self) -> None:
        """Make sure it lives.

        Raises:
            WorkersLostError: it ended; with the last thing it said.
        """
        if self._process.poll() is not None:
            lines = self._log.read_text(errors="replace").strip().splitlines()
            said = lines[-1].removeprefix("Error: ") if lines else "nothing"
            raise WorkersLostError(f"the local worker ended with code {self._process.returncode}: {said}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it leave by itself after a finished run; end it after an interrupted one."""
        if error is not None:
            self._process.kill()  # its unfinished tasks are repeated anyway
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()


def _environment(url: str, login: Login) -> dict[str, str]:
    """Ours, with this Redis and no other; not arguments, which are everybody's to read."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ES_REDIS_")}
    redis = {"URL": url, "USER": login.user, "PASSWORD": login.password, "CA": login.ca}
    return inherited | {f"ES_REDIS_{name}": value for name, value in redis.items() if value}
