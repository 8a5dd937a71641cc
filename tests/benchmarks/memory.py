"""Growth of one process over 20,000 steps with 200 resets: ``python -m tests.benchmarks.memory``."""

import sys

import numpy as np
import psutil

from es.envs.learning_to_run import LearningToRun


def growth(env: LearningToRun, resets: int, steps: int) -> int:
    """Resident bytes gained by ``resets`` episodes of ``steps`` steps, after one to warm up."""
    process = psutil.Process()
    action = np.full(18, 0.05)
    _episode(env, action, steps)
    before = process.memory_info().rss
    for _ in range(resets):
        _episode(env, action, steps)
    return process.memory_info().rss - before


def _episode(env: LearningToRun, action: np.ndarray, steps: int) -> None:
    env.reset()
    for _ in range(steps):
        env.step(action)


def main(resets: int = 200, steps: int = 100) -> None:
    for integrator in ("see2", "rkm"):
        env = LearningToRun(max_obstacles=10, observation="82", integrator=integrator)
        megabytes = growth(env, resets, steps) / 1e6
        print(f"{integrator}: {resets} resets, {resets * steps} steps: {megabytes:+.1f} MB", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
