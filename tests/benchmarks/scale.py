"""How many workers one master and one Redis serve: `python -m tests.benchmarks.scale`.

Real master, real Redis, real agents with their threads, connections and leases: 40 hosts of 36 slots are the
fleet of the 2017 paper. Only the rollout processes are replaced, by episodes that sleep for a drawn time. A
generation is made to last about SECONDS if nothing but the episodes took time.

Columns, per generation, in the mean over all but the first:

    seconds      from publishing to the next publishing
    ideal        what the same episodes take if each free worker had its next task at once
    busy         sum of the episodes' time over workers x seconds: the parallel efficiency
    possible     the same over workers x ideal: the rest is what too few tasks or long ones cost
    overhead     seconds - ideal, in percent of a generation of SECONDS
    gap          from the last result to the next generation's publication, s
    master       CPU time of the master, s
    redis        CPU time of Redis, s
    memory       that of Redis with the second generation published -> with the last
    traffic      bytes in and out of Redis
"""

import argparse
import heapq
import multiprocessing
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from es import config, noise, protocol
from es.protocol import (
    Announcement,
    Episode,
    Generation,
    MasterClient,
    Outcome,
    Statistics,
    Task,
    WorkerClient,
)
from es.redis_server import RedisServer
from es.run_dir import GenerationRecord, RunDir
from master import loop, update
from master.collector import Arrival, Collector
from master.latest import LatestWriter
from master.policies import build_policy
from worker import agent
from worker.pool import Limits
from worker.process import Answer, Work

SECONDS = 10.0
HOST_SLOTS = 36
OBSERVATIONS = 41
PARAMETERS = {10_000: [103, 53], 166_000: [368, 368]}
"""Hidden layers of policies with about so many parameters."""
SIMULATORS = 4
"""Processes that the simulated hosts are spread over."""


class Scenario(NamedTuple):
    """One row of the table."""

    workers: int
    population: int
    parameters: int
    seconds: float = SECONDS

    @property
    def pair_seconds(self) -> float:
        """Mean duration of a pair, so that a generation takes about ``seconds``."""
        return self.seconds * min(2 / 3, 2 * self.workers / self.population)


def duration(scenario_mean: float, generation: int, pair: int) -> float:
    """How long a pair takes, s: between half and one and a half times the mean."""
    return scenario_mean * float(
        np.random.Generator(np.random.Philox(key=[generation, pair])).uniform(0.5, 1.5)
    )


class SleepingProcess:
    """Stands in for ``worker.pool.RolloutProcess``: answers like Learning to Run, after a sleep."""

    def __init__(
        self, experiment_json: bytes, limits: Limits, name: str, cancelled: Callable[[], bool] = lambda: False
    ) -> None:
        self._experiment = msgspec.json.decode(experiment_json, type=config.Experiment)
        self._mean = float(self._experiment.environment.arguments["pair_seconds"])
        self._generation = -1
        self.memory_mb = 300.0
        self.worn_out = False

    def needs(self, generation: int) -> bool:
        return self._generation != generation

    def run(self, work: Work) -> Answer:
        self._generation = work.task.generation
        began = time.perf_counter()
        time.sleep(sum(duration(self._mean, work.task.generation, pair) for pair in work.task.indices))
        outcomes = tuple(self._outcome(work.task, pair) for pair in work.task.indices)
        return Answer(outcomes, process_seconds=time.perf_counter() - began)

    def _outcome(self, task: Task, pair: int) -> Outcome:
        rng = np.random.Generator(np.random.Philox(key=[task.generation, pair]))
        fraction = self._experiment.observation_normalization.fraction
        feeds = noise.feeds_statistics(self._experiment.seed, task.generation, pair, fraction)
        return Outcome(pair, tuple(_episode(rng, feeds=bool(each)) for each in feeds[0]))

    def kill(self) -> None:
        """There is nothing to kill."""

    def close(self) -> None:
        """There is nothing to close."""


def _episode(rng: np.random.Generator, *, feeds: bool) -> Episode:
    statistics = Statistics(
        100, protocol.pack(rng.random(OBSERVATIONS)), protocol.pack(rng.random(OBSERVATIONS))
    )
    metrics = {"metres": rng.random(), "score": rng.random(), "fell": 1.0, "stopped": 0.0}
    return Episode(rng.random(), 3.0, 120, False, "", metrics, statistics if feeds else None, 1.0)


def simulate_hosts(url: str, hosts: Sequence[int], slots: int, pipe: Connection) -> None:
    """Run the agents of these hosts, until the other end says stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    agent.RolloutProcess = SleepingProcess  # type: ignore[assignment,misc]  # that is the simulation
    stop = threading.Event()
    threads = [
        threading.Thread(
            target=agent.serve,
            args=(
                WorkerClient(protocol.connect(url), url, f"host-{host}"),
                f"host-{host}",
                agent.Settings(processes=slots, drain_seconds=0.0),
                stop,
            ),
            daemon=True,
        )
        for host in hosts
    ]
    for thread in threads:
        thread.start()
    pipe.recv()
    stop.set()
    for thread in threads:
        thread.join(timeout=30)


@contextmanager
def fleet(url: str, workers: int) -> Iterator[None]:
    """``workers`` slots on hosts of HOST_SLOTS each, in a few processes."""
    slots = min(workers, HOST_SLOTS)
    hosts = range(workers // slots)
    context = multiprocessing.get_context("spawn")
    simulators = []
    for share in range(min(SIMULATORS, len(hosts))):
        ours, theirs = context.Pipe()
        process = context.Process(target=simulate_hosts, args=(url, hosts[share::SIMULATORS], slots, theirs))
        process.start()
        simulators.append((process, ours))
    try:
        yield
    finally:
        for _, pipe in simulators:
            pipe.send("stop")
        for process, _ in simulators:
            process.join(timeout=60)
            process.kill()


class Measured(Collector):
    """A collector that notes what happened when."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.published: list[float] = []
        self.complete: list[float] = []
        self.cpu: list[float] = []
        self.redis: list[dict[str, float]] = []
        self.traffic: list[float] = []
        self._connection = self._client._redis

    def open(self, generation: Generation, *arguments: Any, **named: Any) -> None:
        self.traffic.append(usage(self._connection)["bytes"])  # before workers can fetch any of it
        super().open(generation, *arguments, **named)
        self.published.append(time.monotonic())
        self.cpu.append(time.process_time())
        self.redis.append(usage(self._connection))

    def poll(self) -> list[Arrival]:
        arrivals = super().poll()
        if not self.busy:
            self.complete.append(time.monotonic())
        return arrivals


def usage(connection: Any) -> dict[str, float]:
    """What Redis has used so far."""
    info = connection.info()
    return {
        "cpu": info["used_cpu_user"] + info["used_cpu_sys"],
        "bytes": info["total_net_input_bytes"] + info["total_net_output_bytes"],
        "memory": info["used_memory"],
        "clients": info["connected_clients"],
    }


class Silent:
    """An observer that says nothing."""

    def generation_started(self, generation: int, episodes: int) -> None:
        """Say nothing."""

    def episodes_arrived(self, arrivals: object, fleet: object) -> None:
        """Say nothing."""

    def generation_finished(self, record: GenerationRecord) -> None:
        """Say nothing."""

    def evaluation_finished(self, record: object) -> None:
        """Say nothing."""


def experiment(scenario: Scenario, generations: int) -> config.Experiment:
    """Like Learning to Run in all that the master and Redis notice."""
    return config.convert(
        {
            "name": "scale",
            "environment": {
                "id": "tests.benchmarks.naps:Naps-v0",
                "arguments": {"pair_seconds": scenario.pair_seconds, "observations": OBSERVATIONS},
            },
            "policy": {"kind": "mlp", "hidden": PARAMETERS[scenario.parameters]},
            "population": {"size": scenario.population},
            "observation_normalization": {"enabled": True, "fraction": 0.01},
            "evaluation": {"every": 0},
            "checkpoint": {"every": 10},
            "budget": {"generations": generations},
        },
        "scale",
    )


def ideal(scenario: Scenario, generation: int) -> float:
    """Seconds until the last pair is done if every free worker took the next one at once."""
    free = [0.0] * scenario.workers
    for pair in range(scenario.population // 2):
        heapq.heappush(free, heapq.heappop(free) + duration(scenario.pair_seconds, generation, pair))
    return max(free)


class Figures(NamedTuple):
    """What a scenario came to, in the mean per generation."""

    parameters: int
    seconds: float
    ideal: float
    busy: float
    possible: float
    gap: float
    master_cpu: float
    redis_cpu: float
    redis_memory: float
    redis_early: float
    traffic: float
    clients: float


def measure(scenario: Scenario, generations: int, folder: Path) -> Figures:
    """Train for ``generations`` and sum up all but the first, in which the workers arrive."""
    settings = experiment(scenario, generations)
    state = update.initial_state(settings, build_policy(settings))
    run = RunDir.create(folder, settings, None, agent.software_version())
    with RedisServer() as server, fleet(server.url, scenario.workers):
        run_id = run.info().run_id
        client = MasterClient(protocol.connect(server.url), server.url, run_id)
        announcement = Announcement(
            run_id, agent.software_version(), noise.fingerprint(), msgspec.json.encode(settings)
        )
        collector = Measured(
            client,
            announcement,
            observation_size=state.statistics.mean.size,
            patience=20.0,
            supervise=lambda: None,
        )
        _wait_for_workers(client, scenario.workers)
        loop.train(run, settings, state, collector, LatestWriter(run, Silent()))
        collector.redis.append(usage(collector._connection))
        client.finish(announcement)
    records = run.generations()[1:-1]
    count = len(records)
    wall = np.diff(collector.published)[1:]
    ideals = [ideal(scenario, record.generation) for record in records]
    worked = [record.process_seconds for record in records]
    redis = collector.redis
    return Figures(
        parameters=state.search.theta.size,
        seconds=float(np.mean(wall)),
        ideal=float(np.mean(ideals)),
        busy=sum(worked) / (scenario.workers * float(np.sum(wall))),
        possible=sum(worked) / (scenario.workers * sum(ideals)),
        gap=float(
            np.mean([p - c for c, p in zip(collector.complete[1:], collector.published[2:], strict=False)])
        ),
        master_cpu=(collector.cpu[-1] - collector.cpu[1]) / count,
        redis_cpu=(redis[-2]["cpu"] - redis[1]["cpu"]) / count,
        redis_memory=redis[-2]["memory"],
        redis_early=redis[1]["memory"],
        traffic=(collector.traffic[-1] - collector.traffic[1]) / count,
        clients=max(each["clients"] for each in redis),
    )


def _wait_for_workers(client: MasterClient, workers: int) -> None:
    deadline = time.monotonic() + 60
    while sum(seen.report.processes for seen in client.workers()) < workers:
        if time.monotonic() > deadline:
            raise SystemExit("the simulated workers did not all arrive")
        time.sleep(0.2)


def table() -> Table:
    """Its columns."""
    each = Table(box=None, pad_edge=False)
    for heading in (
        "workers", "population", "parameters", "seconds", "ideal", "busy", "possible", "overhead", "gap",
        "master", "redis", "memory", "traffic", "clients",
    ):  # fmt: skip
        each.add_column(heading, justify="right", no_wrap=True)
    return each


def row(scenario: Scenario, figures: Figures) -> list[str]:
    """A scenario's line."""
    return [
        f"{scenario.workers:,}",
        f"{scenario.population:,}",
        f"{figures.parameters:,}",
        f"{figures.seconds:.2f} s",
        f"{figures.ideal:.2f} s",
        f"{figures.busy:.1%}",
        f"{figures.possible:.1%}",
        f"{(figures.seconds - figures.ideal) / scenario.seconds:.1%}",
        f"{figures.gap:.2f} s",
        f"{figures.master_cpu:.2f} s",
        f"{figures.redis_cpu:.2f} s",
        f"{figures.redis_early / 1e6:.1f} -> {figures.redis_memory / 1e6:.1f} MB",
        f"{figures.traffic / 1e6:.1f} MB",
        f"{figures.clients:.0f}",
    ]


def main() -> None:
    """Measure and print, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[36, 360, 1440])
    parser.add_argument("--population", type=int, nargs="+", default=[1440, 10_000])
    parser.add_argument(
        "--parameters", type=int, nargs="+", default=list(PARAMETERS), choices=list(PARAMETERS)
    )
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="an ideal generation takes about so long"
    )
    chosen = parser.parse_args()
    console, each = Console(width=140), table()
    for workers in chosen.workers:
        for population in chosen.population:
            for parameters in chosen.parameters:
                scenario = Scenario(workers, population, parameters, chosen.seconds)
                with tempfile.TemporaryDirectory() as folder:
                    figures = measure(scenario, chosen.generations, Path(folder))
                each.add_row(*row(scenario, figures))
                console.print(f"[dim]{workers} workers, {population} episodes: done[/dim]")
    console.print(each)


if __name__ == "__main__":
    main()
