"""How much faster the compiled twin is than OpenSim, and how near it stays.

    python -m tests.benchmarks.native [--episodes 6] [--steps 60]
    python -m tests.benchmarks.native --accuracy [--episodes 60] [--steps 100]

The first prints control steps of 0.01 s per second of one core: first the physics alone, then whole rollouts
with policy, observation and reward, which the twin runs in one compiled call. Every episode runs through all
contestants before the next starts, so a busy machine slows them alike: the ratios are the result, not
the figures. OpenSim is as lean as it gets: welded lumbar joint, obstacles fixed to the ground, no
storage; in the first part one Manager that keeps its step size.

The second prints how far the pelvis is from OpenSim's Runge-Kutta-Merson at 1e-5 after the last step,
median and 90th percentile, for OpenSim at 1e-3 and for the twin; about ten minutes for 60 episodes.
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from es import compiled_rollout, config
from es.envs import registry as envs
from es.native.model import Array
from es.native.physics import NativePhysics
from es.policies import registry as policies
from es.rollout import rollout
from tests.benchmarks.ranks import HEAD, WALKER
from tests.native_oracle import OpenSimRunner

CONTESTANTS = ("OpenSim RKM 1e-3", "OpenSim SEE2 3e-3", "twin RKM 1e-3", "twin ROS2 1e-2")
REPEATS = 10  # of an episode in the twin, whose few milliseconds would be a small sample
Episode = tuple[Array, Array]


def episodes(
    count: int, steps: int, hold: int, obstacles: int, first_seed: int = 0, high: float = 1.0
) -> list[Episode]:
    """Obstacles, shape (k, 3), and random excitations, shape (steps, 18), held for some steps at a time."""
    made = []
    for seed in range(first_seed, first_seed + count):
        rng = np.random.default_rng(seed)
        spheres = np.column_stack(
            [np.linspace(0.3, 6.0, obstacles), np.zeros(obstacles), np.full(obstacles, 0.1)]
        )
        excitations = np.repeat(rng.uniform(0.0, high, (-(-steps // hold), 18)), hold, axis=0)[:steps]
        made.append((spheres, excitations))
    return made


def native(integrator: str, accuracy: float) -> Callable[[Episode], float]:
    """A contestant: seconds of processor time for a control step of an episode."""
    physics = NativePhysics(integrator, accuracy)  # type: ignore[arg-type]  # one of its two names
    physics.reset(np.zeros((0, 3)), np.ones(18))
    physics.step(np.zeros(18))  # compile or load

    def run(episode: Episode) -> float:
        obstacles, excitations = episode
        start = time.process_time()
        for _ in range(REPEATS):
            physics.reset(obstacles, np.ones(18))
            for row in excitations:
                physics.step(row)
        return (time.process_time() - start) / (REPEATS * len(excitations))

    return run


def opensim(method: str, accuracy: float) -> Callable[[Episode], float]:
    """A contestant to beat; building the model does not count."""

    def run(episode: Episode) -> float:
        obstacles, excitations = episode
        runner = OpenSimRunner(obstacles)
        runner.start(accuracy, method=method)
        start = time.process_time()
        for row in excitations:
            runner.advance(row)
        return (time.process_time() - start) / len(excitations)

    return run


class Policy(NamedTuple):
    """A policy for whole rollouts: its settings, how often it acts, and its parameters by seed."""

    name: str
    settings: config.AnyPolicy
    observation: str
    action_repeat: int
    spread: float


POLICIES = (
    Policy("trained walker", config.Gait(head=HEAD), "gait", 2, 0.02),
    Policy("untrained 82-64-64-18", config.MLP(hidden=(64, 64), head=HEAD), "82", 4, 0.1),
)


def whole(
    policy: Policy, obstacles: int, steps: int, backend: str, integrator: str, accuracy: float
) -> Callable[[int], float]:
    """A contestant: seconds of processor time for a step of the rollout with a seed."""
    arguments = {
        "max_obstacles": obstacles, "observation": policy.observation, "reward": "shaped", "max_steps": steps,
        "backend": backend, "integrator": integrator, "accuracy": accuracy,
    }  # fmt: skip
    env = envs.make(config.Environment(id="es/LearningToRun-v0", arguments=arguments))
    made = policies.make(policy.settings, env, action_repeat=policy.action_repeat)
    centre = np.load(WALKER) if policy.observation == "gait" else np.zeros(made.num_params)

    def run(seed: int) -> float:
        theta = centre + policy.spread * np.random.default_rng(seed).standard_normal(made.num_params)
        given = {"seed": seed, "action_repeat": policy.action_repeat}
        length = 0
        start = time.process_time()
        if backend == "opensim":
            length += rollout(env, made.bind(theta), **given).length
        else:
            for _ in range(REPEATS):
                length += compiled_rollout.rollout(env, made, theta, **given).length
        return (time.process_time() - start) / length

    if backend == "native":
        run(0)  # compile or load
    return run


def print_distances(count: int, steps: int) -> None:
    """The second table."""
    twins = {"twin RKM 1e-3": NativePhysics("rkm", 1e-3), "twin ROS2 1e-2": NativePhysics("ros2", 1e-2)}
    distances: dict[str, list[float]] = {"OpenSim RKM 1e-3": [], **{name: [] for name in twins}}
    fallen = 0
    for seed in range(count):
        # Strong random excitation steps and falls, weak excitation sways or collapses.
        high, hold = (1.0, 0.3, 0.15)[seed % 3], (1, 5)[seed // 3 % 2]
        obstacles, excitations = episodes(1, steps, hold, (0, 3)[seed % 2], seed, high)[0]
        ends = []
        for accuracy in (1e-5, 1e-3):
            runner = OpenSimRunner(obstacles)
            runner.start(accuracy)
            ends.append([runner.advance(row) for row in excitations][-1][1:3])
        exact = ends[0]
        fallen += exact[1] < 0.65
        distances["OpenSim RKM 1e-3"].append(float(np.linalg.norm(ends[1] - exact)))
        for name, physics in twins.items():
            physics.reset(obstacles, np.ones(18))
            for row in excitations:
                physics.step(row)
            distances[name].append(float(np.linalg.norm(physics.state[1:3] - exact)))
    print(f"pelvis after {steps} steps, {count} episodes, {fallen} of them fallen by then")
    for name, values in distances.items():
        print(f"{name:18} median {np.median(values):.1e} m   90 % {np.quantile(values, 0.9):.1e} m")


def print_speeds(count: int, steps: int) -> None:
    """The first table."""
    runs = (
        opensim("RungeKuttaMerson", 1e-3),
        opensim("SemiExplicitEuler2", 3e-3),
        native("rkm", 1e-3),
        native("ros2", 1e-2),
    )
    print(f"{'physics':22}{'obstacles':>10}" + "".join(f"{name:>20}" for name in CONTESTANTS))
    for hold, label in ((5, "random every 5 steps"), (1, "random every step")):
        for obstacles in (0, 10):
            spent = [[run(made) for run in runs] for made in episodes(count, steps, hold, obstacles)]
            _print_row(label, obstacles, spent)
    print("whole rollouts")
    for policy in POLICIES:
        for obstacles in (0, 10):
            rollouts = [
                whole(policy, obstacles, steps, *physics)
                for physics in (
                    ("opensim", "rkm", 1e-3),
                    ("opensim", "see2", 3e-3),
                    ("native", "rkm", 1e-3),
                    ("native", "ros2", 1e-2),
                )
            ]
            spent = [[run(seed) for run in rollouts] for seed in range(count)]
            _print_row(policy.name, obstacles, spent)


def _print_row(label: str, obstacles: int, spent: list[list[float]]) -> None:
    """The contestants' steps per second, given seconds per step for each episode and contestant."""
    speed = 1.0 / np.mean(spent, axis=0)
    cells = "".join(f"{s:>11,.0f} ({s / speed[0]:5.0f}x)" for s in speed)
    print(f"{label:22}{obstacles:>10}{cells}", flush=True)


def main() -> None:
    """Print one of the two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accuracy", action="store_true")
    parser.add_argument("--episodes", type=int)
    parser.add_argument("--steps", type=int)
    arguments = parser.parse_args()
    if arguments.accuracy:
        print_distances(arguments.episodes or 60, arguments.steps or 100)
    else:
        print_speeds(arguments.episodes or 6, arguments.steps or 60)


if __name__ == "__main__":
    main()
