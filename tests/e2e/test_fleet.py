"""Real masters, workers and Redis, treated badly: the results are the same bytes every time."""

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
import redis

from es import checkpoint, config, noise, protocol
from es.protocol import Announcement, MasterClient
from es.redis_server import RedisServer
from es.run_dir import EvaluationRecord, GenerationRecord, RunDir
from master import loop, update
from master.collector import Collector
from master.policies import build_policy
from tests import in_process
from tests.benchmarks.scale import Silent
from tests.processes import checkpoint_bytes, es, kill_tree, lines, start, wait_until
from tests.proxy import Proxy
from worker import agent

GENERATIONS = 20
LQR = (
    "lqr",
    "--generations",
    str(GENERATIONS),
    "--set",
    "evaluation.every=5",
    "--set",
    "evaluation.episodes=3",
)


class Fleet:
    """A master and workers that share a Redis; whatever still runs at the end is killed."""

    def __init__(self, redis_url: str, tmp_path: Path) -> None:
        self.redis_url = redis_url
        self.runs_dir = tmp_path / "runs"
        self.log = tmp_path / "log.txt"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str | Path, redis_url: str | None = None) -> subprocess.Popen[bytes]:
        process = start(*arguments, "--redis", redis_url or self.redis_url, log=self.log)
        self.processes.append(process)
        return process

    def master(self, *experiment: str, name: str) -> subprocess.Popen[bytes]:
        return self.start("master", *experiment, "--name", name, "--runs-dir", self.runs_dir)

    def worker(
        self, processes: int = 1, *options: str, redis_url: str | None = None
    ) -> subprocess.Popen[bytes]:
        return self.start("worker", "--workers", str(processes), *options, redis_url=redis_url)

    def generations(self, name: str) -> int:
        return lines(self.runs_dir / name / "generations.jsonl")

    def wait_for_generation(self, name: str, generation: int) -> None:
        wait_until(lambda: self.generations(name) >= generation, f"generation {generation} of {name}")

    def join(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running:\n{self.log.read_text()[-3000:]}")

    def run_dir(self, name: str) -> RunDir:
        return RunDir.open(self.runs_dir, name)


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Iterator[Fleet]:
    each = Fleet(redis_server.url, tmp_path)
    yield each
    for process in each.processes:
        kill_tree(process)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a quiet run with one worker."""
    runs_dir = tmp_path_factory.mktemp("expected")
    done = es("run", *LQR, "--name", "quiet", "--workers", "1", "--runs-dir", runs_dir)
    assert done.returncode == 0, done.stderr
    return runs_dir / "quiet"


def evaluations(run: Path) -> list[object]:
    records = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    return [
        (record["generation"], record["returns"]) for record in sorted(records, key=lambda r: r["generation"])
    ]


def assert_same_run(run: Path, expected: Path) -> None:
    assert checkpoint_bytes(run) == checkpoint_bytes(expected)
    assert len(checkpoint_bytes(run)) == GENERATIONS + 1
    records = [json.loads(line) for line in (run / "generations.jsonl").read_text().splitlines()]
    assert [record["generation"] for record in records] == list(range(1, GENERATIONS + 1))
    assert evaluations(run) == evaluations(expected)


def test_the_distributed_run_equals_the_plain_loop(expected: Path) -> None:
    experiment, state = checkpoint.load(expected / "checkpoints" / f"{GENERATIONS:08d}.npz")
    plain = in_process.train(experiment)
    np.testing.assert_array_equal(plain.search.theta, state.search.theta)
    assert (plain.episodes, plain.steps) == (state.episodes, state.steps)
    assert evaluations(expected)[-1] == [GENERATIONS, in_process.evaluation_returns(experiment, plain)] or (
        evaluations(expected)[-1] == (GENERATIONS, in_process.evaluation_returns(experiment, plain))
    )


def test_three_workers_give_the_same_bytes_as_one(fleet: Fleet, expected: Path) -> None:
    master = fleet.master(*LQR, name="three")
    workers = [fleet.worker(1), fleet.worker(2)]
    assert fleet.join(master) == 0, fleet.log.read_text()
    assert_same_run(fleet.runs_dir / "three", expected)
    progress, seen = fleet.run_dir("three").progress(), fleet.run_dir("three").fleet()
    assert progress is not None
    assert 1 <= progress.generation <= GENERATIONS
    assert seen is not None
    assert {worker.processes for worker in seen.workers} <= {1, 2}
    for worker in workers:
        worker.terminate()
        assert fleet.join(worker) == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_workers_change_nothing(fleet: Fleet, expected: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  (when to kill, not a secret)
    master = fleet.master(*LQR, name="killed")
    workers = [fleet.worker(2), fleet.worker(1)]
    for generation in sorted(chance.sample(range(1, GENERATIONS - 2), 3)):
        fleet.wait_for_generation("killed", generation)
        victim = workers.pop(0)
        if chance.random() < 0.5:
            # First a rollout process alone, then the agent with all that is left.
            children = psutil.Process(victim.pid).children(recursive=True)
            if children:
                chance.choice(children).kill()
        kill_tree(victim)
        workers.append(fleet.worker(1))
    assert fleet.join(master) == 0, fleet.log.read_text()
    assert_same_run(fleet.runs_dir / "killed", expected)


def test_a_frozen_worker_that_comes_back_changes_nothing(fleet: Fleet, expected: Path) -> None:
    master = fleet.master(*LQR, name="frozen")
    sleeper, _ = fleet.worker(1), fleet.worker(1)
    fleet.wait_for_generation("frozen", 3)
    os.killpg(sleeper.pid, signal.SIGSTOP)
    fleet.wait_for_generation("frozen", 8)
    os.killpg(sleeper.pid, signal.SIGCONT)
    assert fleet.join(master) == 0, fleet.log.read_text()
    assert_same_run(fleet.runs_dir / "frozen", expected)


def test_a_worker_that_is_cut_off_and_comes_back_changes_nothing(
    fleet: Fleet, expected: Path, redis_server: RedisServer
) -> None:
    with Proxy(redis_server.socket) as network:
        master = fleet.master(*LQR, name="cut-off")
        fleet.worker(1, redis_url=network.url)
        fleet.wait_for_generation("cut-off", 3)
        network.cut()
        # Whatever it held is taken over, and what it still sends arrives after that.
        fleet.worker(1)
        fleet.wait_for_generation("cut-off", 8)
        network.mend()
        assert fleet.join(master) == 0, fleet.log.read_text()
    assert_same_run(fleet.runs_dir / "cut-off", expected)


def test_a_dead_workers_tasks_run_elsewhere_within_5_seconds() -> None:
    # A lease ends LEASE after its last refresh; an idle slot looks for such leases after each wait for tasks.
    # `python -m tests.benchmarks.takeover` measures it.
    assert protocol.LEASE + max(protocol.LEASE_REFRESH, agent.FETCH_SECONDS) < 5
    assert protocol.LEASE >= 3 * protocol.LEASE_REFRESH  # two refreshes may get lost


def test_a_master_goes_on_elsewhere_and_its_worker_rejoins(fleet: Fleet, expected: Path) -> None:
    master = fleet.master(*LQR, name="moved")
    worker = fleet.worker(1)
    fleet.wait_for_generation("moved", 7)
    kill_tree(master)
    other = fleet.runs_dir.parent / "other machine"
    shutil.copytree(fleet.runs_dir, other)
    shutil.rmtree(fleet.runs_dir)
    resumed = fleet.start("resume", "moved", "--workers", "0", "--runs-dir", other)
    assert fleet.join(resumed) == 0, fleet.log.read_text()
    assert worker.poll() is None
    assert_same_run(other / "moved", expected)


def test_a_killed_master_resumes_and_ends_with_the_same_bytes(tmp_path: Path, expected: Path) -> None:
    runs_dir, log = tmp_path / "runs", tmp_path / "log.txt"
    run = runs_dir / "cut"
    master = start("run", *LQR, "--name", "cut", "--workers", "1", "--runs-dir", runs_dir, log=log)
    wait_until(lambda: lines(run / "generations.jsonl") >= 7, "generation 7")
    family = psutil.Process(master.pid).children(recursive=True)
    master.kill()
    master.wait()
    # Neither its Redis nor its worker outlives it.
    wait_until(lambda: not any(each.is_running() for each in family), "orphans to end")
    assert len(checkpoint_bytes(run)) < GENERATIONS
    done = es("resume", "cut", "--workers", "2", "--runs-dir", runs_dir)
    assert done.returncode == 0, done.stderr
    assert_same_run(run, expected)


def test_an_interrupted_run_says_how_to_go_on_and_loses_nothing(tmp_path: Path, expected: Path) -> None:
    runs_dir, log = tmp_path / "runs", tmp_path / "log.txt"
    rare = ("--set", "checkpoint.every=100")
    master = start("run", *LQR, *rare, "--name", "cut", "--workers", "1", "--runs-dir", runs_dir, log=log)
    wait_until(lambda: lines(runs_dir / "cut" / "generations.jsonl") >= 5, "generation 5")
    master.send_signal(signal.SIGINT)
    assert master.wait(timeout=60) == 130
    done = lines(runs_dir / "cut" / "generations.jsonl")
    assert f"stopped after generation {done}; continue with `es resume cut`" in log.read_text()
    assert es("resume", "cut", "--workers", "1", "--runs-dir", runs_dir).returncode == 0
    last = f"{GENERATIONS:08d}.npz"
    ours, theirs = (checkpoint.load(run / "checkpoints" / last)[1] for run in (runs_dir / "cut", expected))
    np.testing.assert_array_equal(ours.search.theta, theirs.search.theta)


class InterruptedAfterRecord(RunDir):
    """Ctrl-C arrives when the third record is written and nothing is known of it yet."""

    def append(self, record: GenerationRecord | EvaluationRecord) -> None:
        super().append(record)
        if isinstance(record, GenerationRecord) and record.generation == 3:
            raise KeyboardInterrupt


def test_an_interruption_between_a_record_and_its_state_keeps_both(fleet: Fleet) -> None:
    experiment = config.load("lqr", ["evaluation.every=1000", "checkpoint.every=100"])
    run = InterruptedAfterRecord.create(fleet.runs_dir, experiment, None, agent.software_version())
    state = update.initial_state(experiment, build_policy(experiment))
    run_id = run.info().run_id
    connection = protocol.connect(fleet.redis_url)
    collector = Collector(
        MasterClient(connection, fleet.redis_url, run_id),
        Announcement(run_id, agent.software_version(), noise.fingerprint(), msgspec.json.encode(experiment)),
        observation_size=state.statistics.mean.size,
        patience=60.0,
        supervise=lambda: None,
    )
    fleet.worker()
    with pytest.raises(KeyboardInterrupt):
        loop.train(run, experiment, state, collector, Silent())
    assert run.checkpoints()[-1] == len(run.generations()) == 3
    assert run.load_checkpoint(3).generation == 3


def test_a_restarted_redis_costs_nothing(fleet: Fleet, expected: Path, redis_server: RedisServer) -> None:
    master = fleet.master(*LQR, name="redis")
    fleet.worker(2)
    for generation in (3, 9):
        fleet.wait_for_generation("redis", generation)
        os.kill(redis.Redis.from_url(redis_server.url).info("server")["process_id"], signal.SIGKILL)
        redis_server.revive()
    assert fleet.join(master) == 0, fleet.log.read_text()
    assert_same_run(fleet.runs_dir / "redis", expected)


def test_an_embedded_redis_is_replaced(tmp_path: Path, expected: Path) -> None:
    runs_dir, log = tmp_path / "runs", tmp_path / "log.txt"
    master = start("run", *LQR, "--name", "own", "--workers", "1", "--runs-dir", runs_dir, log=log)
    wait_until(lambda: lines(runs_dir / "own" / "generations.jsonl") >= 4, "generation 4")
    servers = [p for p in psutil.Process(master.pid).children(recursive=True) if "redis-server" in p.name()]
    servers[0].kill()
    assert master.wait(timeout=120) == 0, log.read_text()
    assert_same_run(runs_dir / "own", expected)


def test_garbage_in_the_streams_is_skipped_and_counted(fleet: Fleet, expected: Path) -> None:
    master = fleet.master(*LQR, name="garbage")
    wait_until(lambda: (fleet.runs_dir / "garbage" / "run.json").exists(), "the run directory")
    run_id = fleet.run_dir("garbage").info().run_id
    connection = protocol.connect(fleet.redis_url)
    wait_until(lambda: connection.exists(f"es:{run_id}:tasks"), "tasks")
    nonsense = protocol.encode(protocol.Task(run_id, 1, "train", (0,)))[:-3]
    strange = protocol.Result(run_id, 1, "train", (protocol.Outcome(0, ()),), "x", 0.0)
    for stream, data in (
        ("tasks", b"garbage"),
        ("tasks", nonsense),
        ("results", b"\x80\x04pickle"),
        ("results", protocol.encode(strange)),
    ):
        connection.xadd(f"es:{run_id}:{stream}", {"m": data})
    fleet.worker(2)
    assert fleet.join(master) == 0, fleet.log.read_text()
    assert_same_run(fleet.runs_dir / "garbage", expected)
    assert fleet.run_dir("garbage").generations()[-1].rejected == 4
    assert fleet.log.read_text().count("skipped a") == 4


def test_answers_that_never_fit_end_the_run_with_the_reason(fleet: Fleet) -> None:
    """A worker that completes tasks with nonsense costs neither silence nor a wrong result."""
    master = fleet.master(*LQR, name="nonsense")
    wait_until(lambda: (fleet.runs_dir / "nonsense" / "run.json").exists(), "the run directory")
    run_id = fleet.run_dir("nonsense").info().run_id
    liar = protocol.WorkerClient(protocol.connect(fleet.redis_url), fleet.redis_url, "liar")

    def answer() -> bool:
        for lease in liar.fetch(run_id, 0.05)[0]:
            episode = protocol.Episode(float("inf"), 0.0, 1, False, "", {}, None, 0.0)
            outcomes = tuple(protocol.Outcome(index, (episode, episode)) for index in lease.task.indices)
            kind, generation = lease.task.kind, lease.task.generation
            liar.complete(lease, protocol.Result(run_id, generation, kind, outcomes, "liar", 0.0))
        return master.poll() is not None

    wait_until(answer, "the master to give up")
    assert master.returncode == 1
    assert "Error: the answers to some tasks were refused 3 times" in fleet.log.read_text()
    assert es("resume", "nonsense", "--workers", "1", "--runs-dir", fleet.runs_dir).returncode == 0


def test_a_drained_worker_finishes_or_gives_back_and_exits_with_0(fleet: Fleet, expected: Path) -> None:
    master = fleet.master(*LQR, name="drained")
    patient, hasty = fleet.worker(1), fleet.worker(1, "--drain", "0")
    fleet.wait_for_generation("drained", 4)
    patient.terminate()
    hasty.terminate()
    assert fleet.join(patient) == 0
    assert fleet.join(hasty) == 0
    fleet.worker(1)
    assert fleet.join(master) == 0, fleet.log.read_text()
    assert_same_run(fleet.runs_dir / "drained", expected)


@contextmanager
def announced(url: str, **changes: str) -> Iterator[None]:
    """A run that was published by a master with other software."""
    honest = {"software": config_version(), "fingerprint": noise.fingerprint()}
    experiment = msgspec.json.encode(config.load("lqr"))
    announcement = Announcement("r", experiment=experiment, **(honest | changes))
    MasterClient(protocol.connect(url), url, "r").announce(announcement)
    yield


def config_version() -> str:
    return agent.software_version()


def test_workers_that_would_compute_something_else_are_refused(redis_server: RedisServer) -> None:
    with announced(redis_server.url, software="0.0.1"):
        done = es("worker", "--redis", redis_server.url)
        assert done.returncode == 1
        assert "Error: run r needs version 0.0.1, this worker is" in done.stderr
    with announced(redis_server.url, fingerprint="feed"):
        done = es("worker", "--redis", redis_server.url)
        assert done.returncode == 1
        assert "Error: run r draws noise with fingerprint feed, this worker" in done.stderr
    client = protocol.connect(redis_server.url)
    client.set("es:r:announcement", b"\x09from the future")
    done = es("worker", "--redis", redis_server.url)
    assert done.returncode == 1
    expected = f"expected a message of protocol version {protocol.VERSION}"
    assert f"Error: the run is from another version: {expected}" in done.stderr


def test_a_worker_that_cannot_run_the_experiment_ends_the_run_with_its_reason(runs_dir: Path) -> None:
    plugin = "import gymnasium\nraise ImportError('no licence for this simulator')"
    done = es(
        "run", "lqr", "--set", "environment.id=broken_plugin:X-v0", "--runs-dir", runs_dir,
        env={"PYTHONPATH": str(make_module(runs_dir.parent, plugin))},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no licence for this simulator" in done.stderr


def make_module(folder: Path, code: str) -> Path:
    (folder / "broken_plugin.py").write_text(code)
    return folder


def test_nobody_to_work_for_too_long_is_an_error(fleet: Fleet) -> None:
    done = es(
        "master",
        *LQR,
        "--patience",
        "1",
        "--redis",
        fleet.redis_url,
        "--runs-dir",
        fleet.runs_dir,
        "--name",
        "alone",
    )
    assert done.returncode == 1
    assert "Error: no worker for 1 s; start some with `es worker --redis ...`" in done.stderr
    assert es("resume", "alone", "--workers", "1", "--runs-dir", fleet.runs_dir).returncode == 0
