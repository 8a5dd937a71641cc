"""`es worker`: parse, connect, serve, drain on SIGTERM."""

import logging
import os
import signal
import sys
import threading
from types import FrameType

import click

from es import options, protocol
from es.errors import UsageError
from es.instance_metadata import InstanceMetadata
from es.protocol import WorkerClient
from worker.agent import Settings, serve, worker_id
from worker.pool import Limits
from worker.spot import watch

log = logging.getLogger("es.worker")


@click.command()
@options.redis
@click.option("--workers", type=click.IntRange(1), help="Rollout processes. [default: one per core]")
@click.option(
    "--run", "run_id", metavar="ID", help="Serve only the run with this id, and leave when it is over."
)
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Seconds to wait for a run, and for Redis when it does not answer.",
)
@click.option(
    "--drain",
    type=click.FloatRange(0),
    default=20.0,
    show_default=True,
    help="Seconds that tasks may go on after SIGTERM before they are given back.",
)
@click.option(
    "--max-memory-mb",
    envvar="ES_MAX_MEMORY_MB",
    show_envvar=True,
    type=click.FloatRange(50),
    default=2000.0,
    show_default=True,
    help="Replace a rollout process whose resident memory exceeds this.",
)
@click.option(
    "--max-episodes",
    envvar="ES_MAX_EPISODES",
    show_envvar=True,
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Replace a rollout process after so many episodes; 0 means never.",
)
@click.option(
    "--task-timeout",
    envvar="ES_TASK_TIMEOUT",
    show_envvar=True,
    type=click.FloatRange(1),
    default=900.0,
    show_default=True,
    help="Seconds after which a task counts as hung.",
)
@click.option(
    "--spot",
    is_flag=True,
    help="This is an AWS spot instance: drain when it is about to be interrupted. [default: find out]",
)
@click.option("--lifeline", is_flag=True, hidden=True, help="Exit at once when standard input ends.")
def worker(
    redis_url: str | None,
    workers: int | None,
    run_id: str | None,
    wait: float,
    drain: float,
    max_memory_mb: float,
    max_episodes: int,
    task_timeout: float,
    spot: bool,
    lifeline: bool,
) -> None:
    """Evaluate policies for the master that publishes on the same Redis.

    Serves one run after the other; ends when no run has shown up for --wait seconds. SIGTERM or Ctrl-C
    drains: running tasks are finished or given back, then the exit code is 0. So does the notice that a
    spot instance is going to be interrupted.
    """
    if redis_url is None:
        raise UsageError("--redis: expected the address of the master's Redis server")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if lifeline:
        threading.Thread(target=_exit_with_stdin, daemon=True).start()
    stop, signalled = threading.Event(), threading.Event()

    def drain_now(signum: int, frame: FrameType | None) -> None:
        if signalled.is_set():
            os._exit(1)
        signalled.set()
        stop.set()

    signal.signal(signal.SIGTERM, drain_now)
    signal.signal(signal.SIGINT, drain_now)
    if not lifeline:  # a worker of the master's own goes when the master says so
        threading.Thread(
            target=watch, args=(stop, InstanceMetadata()), kwargs={"certain": spot}, name="spot", daemon=True
        ).start()
    name = worker_id()
    client = WorkerClient(protocol.connect(redis_url, options.redis_login(redis_url)), redis_url, name)
    settings = Settings(
        processes=workers or os.cpu_count() or 1,
        run_id=run_id,
        wait_seconds=wait,
        drain_seconds=drain,
        limits=Limits(memory_mb=max_memory_mb, episodes=max_episodes, task_seconds=task_timeout),
    )
    completed = serve(client, name, settings, stop)
    log.info("%d tasks completed", completed)


def _exit_with_stdin() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock this thread would hold for ever
        pass
    os._exit(1)
