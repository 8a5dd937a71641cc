"""Control steps per second of the 2017-shaped model and the lean one: ``python -m tests.benchmarks.env``.

All three run the same actions on the same course, in turns within one process, so their ratios hold on a
busy machine too; the rates themselves do not. Also prints the price of a reset and of an observation.
"""

import sys
from collections.abc import Callable
from time import process_time

import numpy as np
from numpy.random import RandomState

from es.envs.course import generate_course, spheres
from es.envs.learning_to_run import LearningToRun
from es.envs.opensim_physics import OpenSimPhysics
from tests.reference_2017 import Reference2017

STEPS = 50
LEVELS = (0.1, 1.0)  # largest excitation: standing, thrashing


def lean(integrator: str, obstacles: int) -> Callable[[int, np.ndarray], None]:
    physics = OpenSimPhysics(integrator)

    def run(seed: int, actions: np.ndarray) -> None:
        course = generate_course(RandomState(seed), 2, obstacles)
        physics.reset(spheres(course.obstacles, "literal", obstacles), course.strengths)
        for action in actions:
            physics.step(action)
            physics.limit_torque_square_sum()

    return run


def shaped_2017(obstacles: int) -> Callable[[int, np.ndarray], None]:
    reference = Reference2017(obstacles)

    def run(seed: int, actions: np.ndarray) -> None:
        reference.reset(generate_course(RandomState(seed), 2, obstacles))
        for action in actions:
            reference.step(action)

    return run


def price(call: Callable[[], object], repetitions: int) -> float:
    """Seconds per call."""
    start = process_time()
    for _ in range(repetitions):
        call()
    return (process_time() - start) / repetitions


def main(rounds: int = 4) -> None:
    for obstacles in (0, 3, 10):
        runs = {
            "2017-shaped": shaped_2017(obstacles),
            "lean rkm": lean("rkm", obstacles),
            "lean see2": lean("see2", obstacles),
        }
        seconds = dict.fromkeys(runs, 0.0)
        for seed in range(rounds):
            for level in LEVELS:
                actions = RandomState(seed).uniform(0, level, (STEPS, 18))
                for name, run in runs.items():
                    start = process_time()
                    run(seed, actions)
                    seconds[name] += process_time() - start
        steps = rounds * len(LEVELS) * STEPS
        for name, spent in seconds.items():
            ratio = seconds["2017-shaped"] / spent
            rate = f"{steps / spent:7.1f} steps/s  {ratio:5.2f}x"
            print(f"{obstacles:2d} obstacles  {name:12s} {rate}", flush=True)

    env = LearningToRun(max_obstacles=10)
    env.reset(seed=1)
    print(f"reset with 10 obstacles {1e3 * price(env.reset, 20):.1f} ms")
    runner, state = env._physics._runner, env._physics._state
    print(f"reading the kinematics {1e6 * price(lambda: runner.kinematics(state), 2000):.0f} us")
    print(f"making the 41 values of them {1e6 * price(env._observe41, 2000):.0f} us")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
