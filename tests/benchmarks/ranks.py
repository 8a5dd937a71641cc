"""Whether the compiled twin ranks policies as OpenSim does: all that evolution strategies see of a simulator.

    python -m tests.benchmarks.ranks [--write]

Runs 100 diverse policies for up to 4 s in OpenSim (Runge-Kutta-Merson 1e-3) and in the twin, and prints the
rank correlations of their returns and what the returns range over; about ten minutes. With ``--write``, keeps
OpenSim's returns in ``tests/golden`` for `tests/test_native_ranks.py`.

The policies: walkers, from one that walks 20 m through ever stronger disturbances of its parameters, and
random linear ones; with obstacles and strengths of 20 courses, literal and intended. Starting alike and
falling within millimetres of each other is what random policies do, so walkers are most of them.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr  # type: ignore[import-untyped]  # brought by the test extra

from es import compiled_rollout, config
from es.envs import registry as envs
from es.policies import registry as policies
from es.rollout import rollout

Array = NDArray[np.float64]

GOLDEN = Path(__file__).parent.parent / "golden" / "ranks_opensim_rkm_1e-3.npz"
WALKER = Path(__file__).parent.parent / "golden" / "walker.npy"
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
            theta = walker + (0.02 * i) * rng.standard_normal(walker.size)
            arguments["observation"] = "gait"
        made.append(Case(policy, theta, arguments, seed=i // 5))
    return made


def returns(backend: str, integrator: str, accuracy: float) -> Array:
    """The returns of all policies, shape (COUNT,); NaN where the physics failed."""
    results = []
    for case in cases():
        physics = {"backend": backend, "integrator": integrator, "accuracy": accuracy}
        env = envs.make(config.Environment(id="es/LearningToRun-v0", arguments=case.arguments | physics))
        policy = policies.make(case.policy, env, action_repeat=2)
        if compiled_rollout.applies(env, policy):
            episode = compiled_rollout.rollout(env, policy, case.theta, seed=case.seed, action_repeat=2)
        else:
            episode = rollout(env, policy.bind(case.theta), seed=case.seed, action_repeat=2)
        env.close()
        results.append(float("nan") if episode.failed else episode.return_)
    return np.array(results)


def rank_correlation(first: Array, second: Array) -> float:
    """Spearman's, over the episodes that failed in neither."""
    both = ~(np.isnan(first) | np.isnan(second))
    return float(spearmanr(first[both], second[both]).statistic)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    opensim = returns("opensim", "rkm", 1e-3)
    if write:
        np.savez_compressed(GOLDEN, returns=opensim)
    low, median, high = np.nanquantile(opensim, [0, 0.5, 1])
    print(f"{COUNT} policies, returns in OpenSim {low:.2f} to {high:.2f}, median {median:.2f}")
    contestants = [
        ("OpenSim see2 1e-2", "opensim", "see2", 1e-2),
        ("twin rkm 1e-3", "native", "rkm", 1e-3),
        ("twin ros2 1e-2", "native", "ros2", 1e-2),
        ("twin ros2 3e-3", "native", "ros2", 3e-3),
    ]
    for name, backend, integrator, accuracy in contestants:
        other = returns(backend, integrator, accuracy)
        print(
            f"{name:18} rank correlation {rank_correlation(opensim, other):.4f}   median difference "
            f"{np.nanmedian(np.abs(other - opensim)):.1e}   failed {np.isnan(other).sum()}"
        )


if __name__ == "__main__":
    main()
