"""How soon a process works on the twin, and how much two do: ``python -m tests.benchmarks.processes``.

Fresh processes with a warm cache import everything, make the environment of the shipped Learning to Run
experiment and run an episode. Then real rollout processes, as a worker starts them, do tasks of that
experiment: the first alone and all cores' together, in turns; the median of the rounds counts. Other work on
the machine takes cores from the many, not from the one: look at the load that is printed, too. What they do
in a second of their own processor time depends on it less.
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
from master.policies import build_policy
from worker.pool import Limits, RolloutProcess, limit_threads
from worker.process import Answer, Work

EXPERIMENT = config.load("learning-to-run")
STATE = update.initial_state(EXPERIMENT, build_policy(EXPERIMENT))
MESSAGE = update.message("run", EXPERIMENT, STATE)
PAIRS = 80  # in a task
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


def rate(processes: Sequence[RolloutProcess], task: int) -> tuple[float, float]:
    """Control steps that they make together: per second, and per second of processor time and process."""
    with ThreadPoolExecutor(len(processes)) as threads:
        began, used_before = time.perf_counter(), _processor_seconds(processes)
        answers = list(threads.map(lambda process: work(process, task), processes))
        seconds, used = time.perf_counter() - began, _processor_seconds(processes) - used_before
    steps = sum(e.length for a in answers for o in a.outcomes for e in o.episodes)
    return steps / seconds, steps / used


def _processor_seconds(processes: Sequence[RolloutProcess]) -> float:
    times = [psutil.Process(process.pid).cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


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
    for i, unit in enumerate(("second", "second of processor time")):
        one, many = (statistics.median(pair[k][i] for pair in rates) for k in range(2))
        ratio = statistics.median(pair[1][i] / pair[0][i] for pair in rates)
        together = f"{ratio:.2f} times as many" if i == 0 else f"each {ratio:.2f} times as many"
        print(f"control steps per {unit}: 1 process {one:,.0f}; {cores} processes {many:,.0f}, {together}")
    print(f"load average {os.getloadavg()[0]:.1f} on {cores} cores")


if __name__ == "__main__":
    main()
