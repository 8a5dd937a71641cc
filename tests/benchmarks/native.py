"""How much faster the compiled twin is than OpenSim.

    python -m tests.benchmarks.native [--episodes 6] [--steps 60]

Control steps of 0.01 s per second of one core. Every episode runs through all contestants before the next one starts,
so a busy machine slows them alike: the ratios are the result, not the absolute figures. OpenSim is as lean as it gets:
welded lumbar joint, obstacles fixed to the ground, no storage, one Manager that keeps its step size.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from es.native.model import Array
from es.native.physics import NativePhysics
from tests.native_oracle import OpenSimRunner

CONTESTANTS = ("OpenSim RKM 1e-3", "twin RKM 1e-3", "twin ROS2 1e-2")
Episode = tuple[Array, Array]


def episodes(count: int, steps: int, hold: int, obstacles: int) -> list[Episode]:
    """Obstacles, shape (k, 3), and excitations, shape (steps, 18), random and held for some steps at a time."""
    made = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        spheres = np.column_stack([np.linspace(0.3, 6.0, obstacles), np.zeros(obstacles), np.full(obstacles, 0.1)])
        excitations = np.repeat(rng.random((-(-steps // hold), 18)), hold, axis=0)[:steps]
        made.append((spheres, excitations))
    return made


def native(integrator: str, accuracy: float) -> Callable[[Episode], float]:
    """A contestant: seconds of processor time for an episode."""
    physics = NativePhysics(integrator, accuracy)  # type: ignore[arg-type]  # one of its two names
    physics.reset(np.zeros((0, 3)), np.ones(18))
    physics.step(np.zeros(18))  # compile or load

    def run(episode: Episode) -> float:
        obstacles, excitations = episode
        physics.reset(obstacles, np.ones(18))
        start = time.process_time()
        for row in excitations:
            physics.step(row)
        return time.process_time() - start

    return run


def opensim(accuracy: float) -> Callable[[Episode], float]:
    """The contestant to beat; building the model does not count."""

    def run(episode: Episode) -> float:
        obstacles, excitations = episode
        runner = OpenSimRunner(obstacles)
        runner.start(accuracy)
        start = time.process_time()
        for row in excitations:
            runner.advance(row)
        return time.process_time() - start

    return run


def main() -> None:
    """Print a table of speeds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=6)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    runs = (opensim(1e-3), native("rkm", 1e-3), native("ros2", 1e-2))
    print(f"{'excitation':26}{'obstacles':>10}" + "".join(f"{name:>26}" for name in CONTESTANTS))
    for hold, label in ((5, "random every 5 steps"), (1, "random every step")):
        for obstacles in (0, 10):
            spent = np.zeros(len(runs))
            for episode in episodes(arguments.episodes, arguments.steps, hold, obstacles):
                spent += [run(episode) for run in runs]
            speed = arguments.episodes * arguments.steps / spent
            cells = "".join(f"{s:>16,.0f} ({s / speed[0]:5.0f}x)" for s in speed)
            print(f"{label:26}{obstacles:>10}{cells}")


if __name__ == "__main__":
    main()
