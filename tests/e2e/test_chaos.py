"""Everything goes wrong at once, at random but from a seed; the result is the same bytes.

``make chaos`` does it for longer: ES_CHAOS_SECONDS and ES_CHAOS_SEED.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis

from es.redis_server import RedisServer
from es.run_dir import RunDir
from tests.processes import checkpoint_bytes, es, kill_tree, lines, start
from tests.proxy import Proxy

SECONDS = float(os.environ.get("ES_CHAOS_SECONDS", "40"))
SEED = int(os.environ.get("ES_CHAOS_SEED", "1"))
DEADLINE = 240.0  # s, for the calm after the storm
GENERATIONS = 12 if SECONDS < 100 else 60
EXPERIMENT = (
    "lqr", "--generations", str(GENERATIONS), "--set", "population.size=400",
    "--set", "evaluation.every=4", "--set", "evaluation.episodes=2",
)  # fmt: skip


class Storm:
    """A master, three workers, one of them behind a network of its own, and what befalls them."""

    def __init__(self, server: RedisServer, network: Proxy, folder: Path, chance: random.Random) -> None:
        self._server, self._network, self._chance = server, network, chance
        self._runs_dir, self.log = folder / "runs", folder / "log.txt"
        self.run = self._runs_dir / "chaos"
        self._frozen: set[int] = set()
        self.master = self._start("master", *EXPERIMENT, "--name", "chaos", "--runs-dir", self._runs_dir)
        self._workers = [self._worker(server.url), self._worker(server.url), self._worker(network.url)]
        self.history: list[str] = []

    def _start(self, *arguments: str | Path, url: str | None = None) -> subprocess.Popen[bytes]:
        return start(*arguments, "--redis", url or self._server.url, log=self.log)

    def _worker(self, url: str) -> subprocess.Popen[bytes]:
        return self._start("worker", "--workers", "1", url=url)

    def strike(self) -> None:
        """Let one thing happen."""
        deeds: list[Callable[[], None]] = [
            self.kill_worker, self.kill_rollout_process, self.freeze_or_thaw, self.freeze_or_thaw,
            self.restart_redis, self.cut_or_mend, self.cut_or_mend, self.drain_worker, self.kill_master,
        ]  # fmt: skip
        deed = self._chance.choice(deeds)
        self.history.append(deed.__name__)
        deed()
        self._replace_the_dead()

    def kill_worker(self) -> None:
        kill_tree(self._chance.choice(self._workers))

    def kill_rollout_process(self) -> None:
        worker = self._chance.choice(self._workers)
        if worker.poll() is None:
            children = psutil.Process(worker.pid).children(recursive=True)
            if children:
                children[-1].kill()

    def freeze_or_thaw(self) -> None:
        worker = self._chance.choice(self._workers)
        if worker.poll() is None:
            thaw = worker.pid in self._frozen
            os.killpg(worker.pid, signal.SIGCONT if thaw else signal.SIGSTOP)
            (self._frozen.discard if thaw else self._frozen.add)(worker.pid)

    def restart_redis(self) -> None:
        process = redis.Redis.from_url(self._server.url).info("server")["process_id"]
        os.kill(process, signal.SIGKILL)
        self._server.revive()

    def cut_or_mend(self) -> None:
        (self._network.mend if self._network.is_cut else self._network.cut)()

    def drain_worker(self) -> None:
        self._chance.choice(self._workers).terminate()

    def kill_master(self) -> None:
        if self.master.poll() is None and (self.run / "checkpoints" / "00000000.npz").exists():
            kill_tree(self.master)
            self._resume()

    def _resume(self) -> None:
        self.master = self._start("resume", "chaos", "--workers", "0", "--runs-dir", self._runs_dir)

    def _replace_the_dead(self) -> None:
        for number, worker in enumerate(self._workers):
            if worker.poll() is not None:
                self._workers[number] = self._worker(self._network.url if number == 2 else self._server.url)

    def calm(self) -> None:
        """Mend everything, and wait for the end of the run."""
        self._network.mend()
        for worker in self._workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGCONT)
        deadline = time.monotonic() + DEADLINE
        while self.master.poll() is None:
            self._replace_the_dead()
            assert time.monotonic() < deadline, f"{self.history}\n{self.log.read_text()[-3000:]}"
            time.sleep(0.1)
        assert self.master.returncode == 0, f"{self.history}\n{self.log.read_text()[-3000:]}"

    def end(self) -> None:
        for process in (self.master, *self._workers):
            kill_tree(process)


@pytest.mark.timeout(SECONDS + 2 * DEADLINE)
def test_whatever_happens_the_result_is_the_same_bytes(redis_server: RedisServer, tmp_path: Path) -> None:
    quiet = es("run", *EXPERIMENT, "--name", "quiet", "--workers", "2", "--runs-dir", tmp_path)
    assert quiet.returncode == 0, quiet.stderr
    chance = random.Random(SEED)  # noqa: S311  (what befalls whom, not a secret)
    with Proxy(redis_server.socket) as network:
        storm = Storm(redis_server, network, tmp_path, chance)
        try:
            until = time.monotonic() + SECONDS
            # Not to synchronise: the storm has a rhythm, whatever the run is doing.
            while time.monotonic() < until and storm.master.poll() is None:
                time.sleep(chance.uniform(0.2, 2.0))
                storm.strike()
            storm.calm()
        finally:
            storm.end()
    print(f"{len(storm.history)} strikes: {', '.join(storm.history)}")
    assert checkpoint_bytes(storm.run) == checkpoint_bytes(tmp_path / "quiet")
    assert lines(storm.run / "generations.jsonl") == GENERATIONS
    ours, theirs = (RunDir(run).evaluations() for run in (storm.run, tmp_path / "quiet"))
    assert {g: record.returns for g, record in ours.items()} == {g: r.returns for g, r in theirs.items()}
