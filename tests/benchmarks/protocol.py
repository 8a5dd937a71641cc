"""Results per second, ours against the protocol of 2017: `python -m tests.benchmarks.protocol`.

Both evaluate the same trivial environment (one step) with the same policy and code for an episode, in
PROCESSES processes on this machine, in turns. A result is a mirrored pair: two episodes.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from es import config, noise, protocol
from es.protocol import Announcement, MasterClient
from es.redis_server import RedisServer
from master import update
from master.collector import Collector
from master.policies import build_policy
from tests.benchmarks import protocol_2017
from tests.processes import kill_tree, start
from worker.agent import software_version

PROCESSES = 2
EXPERIMENT = {
    "name": "trivial",
    "environment": {"id": "tests.benchmarks.naps:Naps-v0"},
    "policy": {"kind": "linear"},
    "population": {"size": 2},
    "budget": {"generations": 1},
}


class Ours:
    """A master's collector and an agent with its rollout processes."""

    def __init__(self, url: str, experiment: config.Experiment) -> None:
        self._experiment = experiment
        self._state = update.initial_state(experiment, build_policy(experiment))
        run = "trivial"
        client = MasterClient(protocol.connect(url), url, run)
        announcement = Announcement(
            run, software_version(), noise.fingerprint(), msgspec.json.encode(experiment)
        )
        self._collector = Collector(
            client,
            announcement,
            observation_size=self._state.statistics.mean.size,
            patience=120.0,
            supervise=lambda: None,
        )

    def evaluate(self, results: int, pairs_per_task: int) -> float:
        """Seconds that a generation of so many results takes, from publishing to the last one."""
        began = time.perf_counter()
        self._collector.open(
            update.message("trivial", self._experiment, self._state), range(results), (), pairs_per_task
        )
        while self._collector.busy:
            self._collector.poll()
        self._state = self._state._replace(generation=self._state.generation + 1)
        return time.perf_counter() - began


@contextmanager
def ours(experiment: config.Experiment, folder: Path) -> Iterator[Ours]:
    """Ours, with workers that are ready."""
    with RedisServer() as server:
        fleet = Ours(server.url, experiment)
        worker = start("worker", "--workers", str(PROCESSES), "--redis", server.url, log=folder / "log.txt")
        try:
            fleet.evaluate(100, 1)
            yield fleet
        finally:
            kill_tree(worker)


class Theirs:
    """A master of 2017."""

    def __init__(self, url: str, experiment: config.Experiment) -> None:
        state = update.initial_state(experiment, build_policy(experiment))
        self._master = protocol_2017.Master(url)
        self._task = protocol_2017.Task(state.search.theta, 0.02)

    def evaluate(self, results: int) -> float:
        """Seconds that a generation of so many results takes; late ones of the one before do not count."""
        began = time.perf_counter()
        task = self._master.declare_task(self._task)
        while results:
            results -= self._master.pop_result()[0] == task
        return time.perf_counter() - began


@contextmanager
def theirs(experiment: config.Experiment) -> Iterator[Theirs]:
    """Theirs, with workers that are ready: a Redis for the master, one for the host, and a relay."""
    context = multiprocessing.get_context("spawn")
    with RedisServer() as central, RedisServer() as local:
        relay = context.Process(target=protocol_2017.relay, args=(central.url, local.url), daemon=True)
        relay.start()
        workers = []
        for number in range(PROCESSES):
            here, there = context.Pipe()
            worker = context.Process(
                target=protocol_2017.work, args=(local.url, number, experiment, there), daemon=True
            )
            worker.start()
            if not here.poll(120):
                raise SystemExit("a worker of 2017 did not start")
            here.recv()
            workers.append(worker)
        fleet = Theirs(central.url, experiment)
        try:
            fleet.evaluate(100)
            yield fleet
        finally:
            for process in (*workers, relay):
                process.kill()
                process.join()


def rates(rounds: int, results: int, pairs_per_task: int) -> dict[str, list[float]]:
    """Results per second by protocol, a value per round; the others do not run meanwhile."""
    experiment = config.convert(EXPERIMENT, "trivial")
    measured: dict[str, list[float]] = {}
    for _ in range(rounds):
        with theirs(experiment) as old:
            measured.setdefault("2017", []).append(results / old.evaluate(results))
        with tempfile.TemporaryDirectory() as folder, ours(experiment, Path(folder)) as new:
            for size in (1, pairs_per_task):
                name = f"ours, {size} pair{'s' * (size > 1)} per task"
                measured.setdefault(name, []).append(results / new.evaluate(results, size))
    return measured


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=int, default=4000, help="per measurement")
    parser.add_argument("--pairs-per-task", type=int, default=50)
    chosen = parser.parse_args()
    measured = rates(chosen.rounds, chosen.results, chosen.pairs_per_task)
    reference = measured["2017"]
    for name, values in measured.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(values, reference, strict=True))
        print(f"{name:24}  {statistics.median(values):9,.0f} results/s  {ratio:5.1f}x")


if __name__ == "__main__":
    main()
