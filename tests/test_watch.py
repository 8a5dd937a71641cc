"""`es watch` and `es workers`: what the master writes of the present, and what a person sees of it."""

import json
import os
import pty
import select
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest

from es import config
from es.commands.watch import remaining_seconds, spent_share
from es.errors import RunDirectoryError
from es.protocol import Episode, Outcome, Seen
from es.run_dir import Fleet, Progress, RunDir, Worker, now
from master.collector import Arrival
from master.latest import LatestWriter
from tests.processes import command, environment, es, heed_interrupts
from tests.test_protocol import REPORT
from tests.test_run_dir import create, generation_record

WORKER = Worker(
    worker="a", host="fast", processes=4, busy=3, software="1.0", tasks=7, episodes=14,
    episodes_per_second=2.5, memory_mb=2048.0, restarts=1, last_seen=1.2, lost=False,
)  # fmt: skip
LOST = msgspec.structs.replace(WORKER, worker="b", host="[red]gone", last_seen=75.0, lost=True)
PROGRESS = Progress(
    generation=3, episodes=40, episodes_done=10, failed=1, return_mean=1.5, return_max=2.5, steps=1000,
    process_seconds=3.0, seconds=4.0, time=now(),
)  # fmt: skip


@pytest.fixture
def run(runs_dir: Path) -> RunDir:
    """In its third generation, when somebody holds its lock."""
    run = create(runs_dir, "seen")
    for generation in (1, 2):
        record = generation_record(generation)
        run.append(msgspec.structs.replace(record, seconds=10.0, elapsed=10.0 * generation, return_best=9.0))
    run.write_latest(PROGRESS)
    run.write_latest(Fleet(workers=[LOST, WORKER], time=now()))
    return run


class Quiet:
    """An observer that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> object:
        return lambda *arguments: self.told.append(name)


def arrival(*episodes: Episode) -> Arrival:
    return Arrival(1, "train", Outcome(0, episodes), "p", 1.5)


def test_the_master_writes_how_far_it_is_and_who_works(runs_dir: Path) -> None:
    run, observer = create(runs_dir), Quiet()
    assert (run.progress(), run.fleet()) == (None, None)
    writer = LatestWriter(run, observer)  # type: ignore[arg-type]  # it has every method
    writer.generation_started(5, 8)
    good = Episode(2.0, 0.0, 30, False, "", {}, None, 0.1)
    failed = Episode(float("nan"), 0.0, 3, True, "broken", {}, None, 0.1)
    seen = [Seen(REPORT, 0.5), Seen(REPORT, 99.0)]
    writer.episodes_arrived([arrival(good, failed)], seen)
    progress, fleet = run.progress(), run.fleet()
    assert progress is not None
    assert fleet is not None
    assert (progress.generation, progress.episodes, progress.episodes_done, progress.failed) == (5, 8, 2, 1)
    assert (progress.return_mean, progress.return_max, progress.steps) == (2.0, 2.0, 33)
    assert [(w.host, w.processes, w.busy, w.tasks, w.lost) for w in fleet.workers] == [
        ("host", 4, 3, 7, False),
        ("host", 4, 3, 7, True),
    ]
    writer.episodes_arrived([arrival(good, good)] * 2, seen)  # too soon to write again
    assert run.progress() == progress
    assert observer.told == ["generation_started", "episodes_arrived", "episodes_arrived"]


def test_a_present_that_cannot_be_written_costs_nothing(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("master.latest.PERIOD", 0.0)

    def full(self: RunDir, latest: object) -> None:
        raise RunDirectoryError("no space left")

    monkeypatch.setattr(RunDir, "write_latest", full)
    writer = LatestWriter(create(runs_dir), Quiet())  # type: ignore[arg-type]  # it has every method
    for _ in range(3):
        writer.episodes_arrived([], [])
    assert caplog.text.count("no space left") == 1


def test_workers_are_shown_also_after_the_run(run: RunDir, runs_dir: Path) -> None:
    done = es("workers", "seen", "--runs-dir", runs_dir)
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert done.stdout.startswith("seen (stopped), as of now")
    assert lines[3] == ["fast", "4", "1.0", "7", "2.5", "2.0", "GB", "1", "s", "ago", "1"]
    assert lines[4] == ["[red]gone", "4", "1.0", "7", "-", "2.0", "GB", "lost", "1:15", "1"]
    assert lines[5] == ["1", "worker", "4", "14", "2.5", "2.0", "GB", "1", "lost", "2"]
    fleet = json.loads(es("workers", "seen", "--json", "--runs-dir", runs_dir).stdout)["fleet"]
    assert [worker["host"] for worker in fleet["workers"]] == ["[red]gone", "fast"]
    create(runs_dir, "new")
    assert "no worker has been seen yet" in es("workers", "new", "--runs-dir", runs_dir).stdout
    assert es("workers", "none", "--runs-dir", runs_dir).returncode == 2


def test_a_run_that_has_ended_is_shown_once(run: RunDir, runs_dir: Path) -> None:
    done = es("watch", "seen", "--runs-dir", runs_dir)
    assert done.returncode == 0
    assert "seen (stopped)" in done.stdout
    assert "2 of 60 generations, 3%" in done.stdout
    assert "so far" not in done.stdout
    assert "in about" not in done.stdout


def test_a_running_run_is_watched_until_ctrl_c(run: RunDir, runs_dir: Path) -> None:
    parent, child = pty.openpty()
    arguments = command(("watch", "seen", "--interval", "0.1", "--runs-dir", runs_dir))
    with run.lock():
        watching = subprocess.Popen(
            arguments,
            stdin=child,
            stdout=child,
            stderr=child,
            env=environment({"TERM": "xterm", "LINES": "60"}),
            preexec_fn=heed_interrupts,
        )
        os.close(child)
        screen = read_until(parent, "in about")
        run.write_latest(msgspec.structs.replace(PROGRESS, generation=4))
        screen += read_until(parent, "generation 4")
        watching.send_signal(signal.SIGINT)
        screen += read_until(parent, "no longer watching seen")
        assert watching.wait(timeout=60) == 0
    os.close(parent)
    assert "10 of 40 episodes, 0:04" in screen
    assert "mean 1.50, max 2.50 so far, 1 failed" in screen
    assert "250 steps/s, 2.5 episodes/s" in screen
    assert "75%, 3 of 4 rollout processes are busy" in screen
    assert "Traceback" not in screen


def read_until(terminal: int, text: str) -> str:
    screen = ""
    while text not in screen:
        ready, _, _ = select.select([terminal], [], [], 120)
        assert ready, f"nothing more after {screen!r}"
        screen += os.read(terminal, 1 << 16).decode(errors="replace")
    return screen


def test_watching_ends_with_the_run(run: RunDir, runs_dir: Path) -> None:
    parent, child = pty.openpty()
    with run.lock():
        watching = subprocess.Popen(
            command(("watch", "seen", "--interval", "0.1", "--runs-dir", runs_dir)),
            stdin=child, stdout=child, stderr=child, env=environment({"TERM": "xterm"}),
        )  # fmt: skip
        os.close(child)
        read_until(parent, "running")
    read_until(parent, "stopped")
    assert watching.wait(timeout=60) == 0
    os.close(parent)


def test_the_end_is_estimated_from_the_budget_and_the_latest_generations() -> None:
    lqr = config.load("lqr", ["budget.generations=10"])
    records = [msgspec.structs.replace(generation_record(g), seconds=5.0) for g in (1, 2, 3, 4)]
    assert remaining_seconds(lqr, [], None) is None
    assert spent_share(lqr, records) == pytest.approx(0.4)
    assert remaining_seconds(lqr, records, None) == pytest.approx(30.0)
    assert remaining_seconds(lqr, records, PROGRESS) == pytest.approx(26.0)
    steps = msgspec.structs.replace(lqr, budget=config.Budget(steps=1000, generations=1000))
    grown = [msgspec.structs.replace(r, steps_total=100 * r.generation) for r in records]
    assert remaining_seconds(steps, grown, None) == pytest.approx(30.0)
    assert remaining_seconds(steps, records, None) == pytest.approx(5.0 * 996)
