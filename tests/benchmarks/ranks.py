"""Whether the compiled twin ranks policies as OpenSim does: all that evolution strategies see of a simulator.

    python -m tests.benchmarks.ranks [--write]

Runs 100 diverse policies for up to 4 s in OpenSim (Runge-Kutta-Merson 1e-3) and in the twin, and prints the
rank correlations of their returns and what the returns range over; about twenty minutes. With ``--write``, it
keeps OpenSim's returns in ``tests/golden`` for `tests/test_native_ranks.py`.

A few policies clear an obstacle or fall over it by a hair. Their returns are as good as drawn by lot: whether
the integrator's steps are a little shorter decides, in OpenSim too. One such policy out of 100 that changes
sides costs a correlation 0.01. "The same steps" is the twin with the step control of OpenSim's lean model,
whose error norm counts no locked joints: it shows how much of the difference is luck.

The policies: walkers, from one that walks 20 m through ever stronger disturbances of its parameters, and
random linear ones; with obstacles and strengths of 20 courses, literal and intended. Starting alike and
falling within millimetres of each other is what random policies do, so walkers are most of them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from es import compiled_rollout, config
from es.envs import registry as envs
from es.native.physics import NativePhysics
from es.policies import registry as policies
from es.policies.gait_weights import OVER, SETTINGS
from es.rollout import rollout
from tests.benchmarks.integrators import spearman

Array = NDArray[np.float64]

GOLDEN = Path(__file__).parent.parent / "golden" / "ranks_opensim_rkm_1e-3.npy"
WALKER = Path(__file__).parent.parent / "golden" / "walker.npy"
OVER_UNIT_THEN = 0.3
"""Unit of the parameters that heed obstacles when the golden returns were recorded, by the same policies."""
COUNT = 100
MAX_STEPS = 400
HEAD = config.Squashed(bias=-2.0, floor=0.05)


class Case(NamedTuple):
    """One policy on one course."""

    policy: config.AnyPolicy
    theta: Array
    arguments: dict[str, Any]
    seed: int


def cases() -> list[Case]:
    """The policies and their courses."""
    walker = np.load(WALKER)
    spread = np.ones(walker.size)
    spread[OVER] = OVER_UNIT_THEN / SETTINGS[OVER][0].unit
    made = []
    for i in range(COUNT):
        rng = np.random.default_rng(i)
        arguments: dict[str, Any] = {
            "difficulty": i % 3,
            "max_obstacles": (3, 10)[i // 3 % 2],
            "course": ("literal", "intended")[i // 6 % 2],
            "reward": "shaped",
            "max_steps": MAX_STEPS,
        }
        if i % 5 == 4:
            scale = (0.05, 0.2, 1.0)[i // 5 % 3]
            policy: config.AnyPolicy = config.Linear(head=HEAD)
            theta = scale * rng.standard_normal(42 * 18)
        else:
            policy = config.Gait(head=HEAD)
            theta = walker + (0.02 * i) * spread * rng.standard_normal(walker.size)
            arguments["observation"] = "gait"
        made.append(Case(policy, theta, arguments, seed=i // 5))
    return made


def returns(
    cases: Sequence[Case], backend: str, integrator: str, accuracy: float, *, locked_joints: bool = True
) -> Array:
    """The return of each policy; NaN where the physics failed. For ``locked_joints`` see `NativePhysics`."""
    results = []
    for case in cases:
        physics = {"backend": backend, "integrator": integrator, "accuracy": accuracy}
        env = envs.make(config.Environment(id="es/LearningToRun-v0", arguments=case.arguments | physics))
        task: Any = env.unwrapped
        if not locked_joints:
            task._physics = NativePhysics("rkm", accuracy, locked_joints=False)
        policy = policies.make(case.policy, env, action_repeat=2)
        if compiled_rollout.applies(policy, env):
            episode = compiled_rollout.rollout(env, policy, case.theta, seed=case.seed, action_repeat=2)
        else:
            episode = rollout(env, policy.bind(case.theta), seed=case.seed, action_repeat=2)
        env.close()
        results.append(float("nan") if episode.failed else episode.return_)
    return np.array(results)


def rank_correlation(first: Array, second: Array) -> float:
    """Spearman's, over the episodes that failed in neither."""
    both = ~(np.isnan(first) | np.isnan(second))
    return spearman(first[both], second[both])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    policies_and_courses = cases()
    opensim = returns(policies_and_courses, "opensim", "rkm", 1e-3)
    if write:
        np.save(GOLDEN, opensim)
    low, median, high = np.nanquantile(opensim, [0, 0.5, 1])
    print(f"{COUNT} policies, returns in OpenSim {low:.2f} to {high:.2f}, median {median:.2f}")
    contestants = [
        ("twin rkm 1e-3, the same steps", "native", "rkm", 1e-3, False),
        ("twin rkm 1e-3", "native", "rkm", 1e-3, True),
        ("twin rkm 1e-5", "native", "rkm", 1e-5, True),
        ("twin ros2 1e-2", "native", "ros2", 1e-2, True),
        ("twin ros2 3e-2", "native", "ros2", 3e-2, True),
        ("OpenSim rkm 3e-4", "opensim", "rkm", 3e-4, True),
        ("OpenSim see2 3e-3", "opensim", "see2", 3e-3, True),
    ]
    for name, backend, integrator, accuracy, locked_joints in contestants:
        other = returns(policies_and_courses, backend, integrator, accuracy, locked_joints=locked_joints)
        print(
            f"{name:30} rank correlation {rank_correlation(opensim, other):.4f}   median difference "
            f"{np.nanmedian(np.abs(other - opensim)):.1e}   failed {np.isnan(other).sum()}",
            flush=True,
        )


if __name__ == "__main__":
    main()
