"""Real `es` processes for the end-to-end tests."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

DEADLINE = 300.0  # s


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Look again and again until it is true."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"still waiting after {DEADLINE:g} s: {what}"
        time.sleep(0.02)


def es(
    *arguments: str | Path, env: dict[str, str] | None = None, deadline: float = DEADLINE
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which comes within so many seconds."""
    return subprocess.run(
        command(arguments),
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=deadline,
        check=False,
    )


def start(*arguments: str | Path, log: Path, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command(arguments),
            env=environment(env),
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=heed_interrupts,
        )


def heed_interrupts() -> None:
    """Shells start what runs in the background, this test session perhaps, deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def command(arguments: Sequence[str | Path]) -> list[str]:
    return [sys.executable, "-m", "es.cli", *map(str, arguments)]


def environment(extra: dict[str, str] | None) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ES_")}
    return {**clean, "COLUMNS": "120", **(extra or {})}


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a process and all its descendants at once, as a power cut would."""
    try:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.NoSuchProcess:
        family = []
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait(timeout=10)


def lines(path: Path) -> int:
    """Complete lines in a file that may not exist yet."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def checkpoint_bytes(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "checkpoints").glob("*.npz"))}
