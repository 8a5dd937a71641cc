"""How soon a process works on the twin, and how much two do: ``python -m tests.benchmarks.processes``.

Fresh processes with a warm cache import everything, make the environment of the shipped Learning to Run
experiment and run an episode. Then real rollout processes, as a worker starts them, do tasks of that
experiment: the first alone and all cores' together, in turns; the median of the rounds counts. Other work on
the machine slows the many more than the one: look at the load that is printed, too.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import psutil

from es import config
from es.protocol import Task
from master import update
from worker.pool import Limits, RolloutProcess, limit_threads
from worker.process import Answer, Work

EXPERIMENT = config.load("learning-to-run")
STATE = update.initial_state(EXPERIMENT, update.build_policy(EXPERIMENT))
MESSAGE = update.message("run", EXPERIMENT, STATE)
PAIRS = 40  # in a task
ROUNDS = 9

START = """
import time
from es.protocol import Task
from worker.process import Evaluator, Work
from tests.benchmarks.processes import EXPERIMENT, MESSAGE
list(Evaluator(EXPERIMENT).evaluate(Work(Task("run", 1, "train", (0,)), MESSAGE)))
print(time.process_time())
"""


def start_up() -> tuple[float, float]:
    """Wall and processor seconds of a fresh process, until it has run its first pair of episodes."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    return time.perf_counter() - began, float(done.stdout)


def work(process: RolloutProcess, task: int) -> Answer:
    """Let it do a task; the same for all processes, so that none has longer episodes."""
    message = MESSAGE if process.needs(1) else None
    indices = tuple(range(task * PAIRS, (task + 1) * PAIRS))
    return process.run(Work(Task("run", 1, "train", indices), message))


def rate(processes: Sequence[RolloutProcess], task: int) -> float:
    """Control steps per second that they make together."""
    with ThreadPoolExecutor(len(processes)) as threads:
        began = time.perf_counter()
        answers = list(threads.map(lambda process: work(process, task), processes))
        seconds = time.perf_counter() - began
    return sum(e.length for a in answers for o in a.outcomes for e in o.episodes) / seconds


def main() -> None:
    """Print both."""
    limit_threads()
    start_up()  # warms the cache
    wall, processor = zip(*(start_up() for _ in range(5)), strict=True)
    print(
        f"start-up: {statistics.median(wall):.2f} s until the first two episodes are done,"
        f" {statistics.median(processor):.2f} s of processor time"
    )
    cores = psutil.cpu_count() or 1
    processes = [
        RolloutProcess(msgspec.json.encode(EXPERIMENT), Limits(), f"es-rollout-{i}") for i in range(cores)
    ]
    rate(processes, 0)
    rates = [(rate(processes[:1], task), rate(processes, task)) for task in range(1, ROUNDS + 1)]
    for process in processes:
        process.close()
    ratio = statistics.median(many / one for one, many in rates)
    one, many = (statistics.median(column) for column in zip(*rates, strict=True))
    print(f"1 process:  {one:8,.0f} control steps/s")
    print(f"{cores} processes:{many:8,.0f} control steps/s, {ratio:.2f} times as many")
    print(f"load average {os.getloadavg()[0]:.1f} on {cores} cores")


if __name__ == "__main__":
    main()
