"""`es run`, `es master` and `es resume`: parse, wire things together, print."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import click
import msgspec
from rich.console import Console

from es import config, noise, options, protocol, tables
from es.checkpoint import MasterState
from es.errors import RedisUnavailableError, UsageError
from es.protocol import Announcement, MasterClient
from es.redis_server import RedisServer
from es.run_dir import RunDir
from master import loop, update
from master.collector import Collector
from master.latest import LatestWriter
from master.local import LocalWorker
from master.policies import build_policy
from master.progress import TerminalObserver

LOCAL_PATIENCE = 120.0  # s
FINISH_SECONDS = 10.0
RESTART_SECONDS = 5.0
"""For which a Redis may be away, because it is just being started or restarted, when a master begins."""


def _experiment_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="FIELD=VALUE",
            help="Change any setting, e.g. strategy.sigma=0.02.",
        ),
        click.option("--seed", type=click.IntRange(0), help="Seed of everything random."),
        click.option("--generations", type=click.IntRange(1), help="Updates to make."),
        click.option("--name", help="Name of the run. [default: the experiment's and a number]"),
        click.argument("experiment"),
    ):
        command = option(command)
    return command


workers_option = click.option(
    "--workers", type=click.IntRange(0), help="Rollout processes on this machine. [default: one per core]"
)
patience_option = click.option(
    "--patience",
    type=click.FloatRange(1),
    default=600.0,
    show_default=True,
    help="Seconds without Redis, or without any worker, after which to give up.",
)


@click.command()
@_experiment_options
@workers_option
@options.runs_dir
@options.redis
def run(
    experiment: str,
    name: str | None,
    generations: int | None,
    seed: int | None,
    overrides: tuple[str, ...],
    workers: int | None,
    runs_dir: Path,
    redis_url: str | None,
) -> None:
    """Train EXPERIMENT on this machine: a .toml file or the name of a shipped experiment.

    Starts a private Redis (unless --redis names one) and a worker, and ends them with the run.
    """
    processes = _processes(workers, redis_url)
    loaded = _load(experiment, generations, seed, overrides)
    _check_redis(redis_url)
    new = _create(loaded, runs_dir, name)
    _train(*new, processes, redis_url, LOCAL_PATIENCE)


@click.command()
@_experiment_options
@patience_option
@options.runs_dir
@options.redis
def master(
    experiment: str,
    name: str | None,
    generations: int | None,
    seed: int | None,
    overrides: tuple[str, ...],
    patience: float,
    runs_dir: Path,
    redis_url: str | None,
) -> None:
    """Train EXPERIMENT with the workers that connect to the same Redis; see `es worker`."""
    if redis_url is None:
        raise UsageError("--redis: expected the address of a Redis server that the workers reach too")
    loaded = _load(experiment, generations, seed, overrides)
    _check_redis(redis_url)
    new = _create(loaded, runs_dir, name)
    _train(*new, 0, redis_url, patience)


@click.command()
@click.argument("run_name", metavar="RUN")
@click.option("--generations", type=click.IntRange(1), help="Raise the run's budget to so many updates.")
@workers_option
@patience_option
@options.runs_dir
@options.redis
def resume(
    run_name: str,
    generations: int | None,
    workers: int | None,
    patience: float,
    runs_dir: Path,
    redis_url: str | None,
) -> None:
    """Continue RUN from its latest checkpoint.

    With --redis and --workers 0 it waits for workers elsewhere, like `es master`.
    """
    found = RunDir.open(runs_dir, run_name)
    experiment = found.experiment()
    if generations is not None:
        budget = msgspec.structs.replace(experiment.budget, generations=generations)
        experiment = msgspec.structs.replace(experiment, budget=budget)
    processes = _processes(workers, redis_url)
    with found.lock():
        state = found.latest_readable()
        if generations is not None and generations <= state.generation:
            raise UsageError(
                f"--generations {generations}: {found.name} has made {state.generation}; expected more"
            )
        if update.budget_spent(experiment, state, 0.0) and found.info().finished:
            raise UsageError(
                f"{found.name} finished after {state.generation} generations; extend it with --generations"
            )
        found.write_experiment(experiment)
        found.write_info(msgspec.structs.replace(found.info(), finished=False))
        found.forget_after(state.generation)
    _train(found, experiment, state, processes, redis_url, patience)


def _load(
    name: str, generations: int | None, seed: int | None, overrides: tuple[str, ...]
) -> config.Experiment:
    common = [("budget.generations", generations), ("seed", seed)]
    return config.load(
        name, [*(f"{field}={value}" for field, value in common if value is not None), *overrides]
    )


def _create(
    experiment: config.Experiment, runs_dir: Path, name: str | None
) -> tuple[RunDir, config.Experiment, MasterState]:
    state = update.initial_state(experiment, build_policy(experiment))
    return RunDir.create(runs_dir, experiment, name, version("opensim-es")), experiment, state


def _check_redis(redis_url: str | None) -> None:
    """Find out before anything is written whether this Redis, if it is not our own, will do."""
    if redis_url is not None:
        connection = protocol.connect(redis_url, options.redis_login(redis_url))
        protocol.patiently(MasterClient(connection, redis_url, run_id="").check, RESTART_SECONDS)


def _processes(workers: int | None, redis_url: str | None) -> int:
    if workers == 0 and redis_url is None:
        raise UsageError("--workers 0: expected at least 1 without --redis, since nobody else could reach us")
    return os.cpu_count() or 1 if workers is None else workers


def _train(
    run: RunDir,
    experiment: config.Experiment,
    state: MasterState,
    processes: int,
    redis_url: str | None,
    patience: float,
) -> None:
    console = Console()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with run.lock():
            _train_with_fleet(run, experiment, state, processes, redis_url, patience, console)
    except KeyboardInterrupt:
        done = run.checkpoints()[-1:] or [0]
        console.print(f"stopped after generation {done[0]}; continue with `es resume {run.name}`")
        sys.exit(130)
    tables.generations(console, run, last=10)
    console.print(f"run: {run.path}", highlight=False, soft_wrap=True)


def _train_with_fleet(
    run: RunDir,
    experiment: config.Experiment,
    state: MasterState,
    processes: int,
    redis_url: str | None,
    patience: float,
    console: Console,
) -> None:
    announcement = Announcement(
        run_id=run.info().run_id,
        software=version("opensim-es"),
        fingerprint=noise.fingerprint(),
        experiment=msgspec.json.encode(experiment),
    )
    supervisors: list[Callable[[], None]] = []

    def supervise() -> None:
        for check in supervisors:
            check()

    with ExitStack() as stack:
        login = protocol.Login()
        if redis_url is None:
            server = stack.enter_context(RedisServer())
            supervisors.append(server.revive)
            redis_url = server.url
        else:
            login = options.redis_login(redis_url)
        client = MasterClient(protocol.connect(redis_url, login), redis_url, announcement.run_id)
        protocol.patiently(client.check, RESTART_SECONDS)
        if processes:
            local = LocalWorker(redis_url, login, announcement.run_id, processes, run.worker_log)
            supervisors.append(stack.enter_context(local).check)
        terminal = stack.enter_context(TerminalObserver(console, experiment.budget.generations))
        console.print(
            f"{run.name}: {state.search.theta.size} parameters, "
            f"{update.episodes_per_generation(experiment, state)} episodes per generation",
            highlight=False,
        )
        if not processes:
            console.print(
                f"waiting for workers: es worker --redis {protocol.display_url(redis_url)}", highlight=False
            )
        collector = Collector(
            client,
            announcement,
            observation_size=state.statistics.mean.size,
            patience=patience,
            supervise=supervise,
        )
        loop.train(run, experiment, state, collector, LatestWriter(run, terminal))
        run.write_info(msgspec.structs.replace(run.info(), finished=True))
        try:
            protocol.patiently(lambda: client.finish(announcement), FINISH_SECONDS)
        except RedisUnavailableError as error:
            console.print(f"the run is complete, but its workers were not told: {error}")


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
