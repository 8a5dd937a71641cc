"""Which integration settings rank policies as the reference does: ``python -m tests.benchmarks.integrators``.

For each setting: Spearman's rank correlation of the returns with those of the reference (rkm, 1e-3) over
diverse episodes, failures, the steps of the falls, and control steps per second as a ratio to the reference.
"""

import sys
from collections.abc import Callable
from time import process_time

import numpy as np

from es.envs.learning_to_run import LearningToRun

SETTINGS = [("rkm", 1e-3), ("rkm", 1e-2), ("see2", 1e-3), ("see2", 3e-3), ("see2", 1e-2), ("see2", 3e-2)]
STEPS = 150

Policy = Callable[[int, np.ndarray], np.ndarray]


def standing(random: np.random.Generator) -> Policy:
    """Hold every muscle at its own low excitation."""
    hold = random.uniform(0, 0.15, 18)
    return lambda step, observation: hold


def falling(random: np.random.Generator) -> Policy:
    """Twitch at random."""
    twitches = random.uniform(0, 1, (STEPS, 18))
    return lambda step, observation: twitches[step]


def stepping(random: np.random.Generator) -> Policy:
    """Swing the legs in opposite phase, each muscle at its own amplitude and phase."""
    phase, amplitude = random.uniform(0, 2 * np.pi, 9), random.uniform(0.1, 0.5, 9)
    sides = np.concatenate([phase, phase + np.pi])
    period = random.uniform(50, 100)
    return lambda step, _: np.tile(amplitude, 2) * (1 + np.sin(2 * np.pi * step / period + sides))


def reacting(random: np.random.Generator) -> Policy:
    """Feed the observation back through random weights, as an untrained network does."""
    weights, bias = random.normal(0, 0.3, (18, 82)), random.normal(-1.5, 1, 18)
    return lambda step, observation: 1 / (1 + np.exp(-(weights @ observation + bias)))


def episode(env: LearningToRun, kind: Callable[[np.random.Generator], Policy], seed: int) -> tuple:
    policy = kind(np.random.default_rng(seed))
    observation, _ = env.reset(seed=seed)
    total = 0.0
    for step in range(STEPS):
        observation, reward, terminated, truncated, info = env.step(policy(step, observation))
        total += reward
        if terminated or truncated:
            break
    return total, info["score"], step + 1, info["failed"]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    ranks = [np.argsort(np.argsort(values)) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def main(count: int = 9) -> None:
    kinds = (standing, falling, stepping, reacting)
    cases = [(kind, 100 * i + j) for i, kind in enumerate(kinds) for j in range(count)]
    print(f"{len(cases)} episodes of at most {STEPS} steps, difficulty 2, 10 obstacles")
    reference = None
    for integrator, accuracy in SETTINGS:
        env = LearningToRun(
            max_obstacles=10, observation="82", reward="shaped", integrator=integrator, accuracy=accuracy
        )
        start = process_time()
        table = np.array([episode(env, *case) for case in cases])
        rate = table[:, 2].sum() / (process_time() - start)
        if reference is None:
            reference, reference_rate = table, rate
        print(
            f"{integrator} {accuracy:g}: rank correlation shaped {spearman(table[:, 0], reference[:, 0]):.3f}"
            f" original {spearman(table[:, 1], reference[:, 1]):.3f},"
            f" mean |shaped difference| {np.abs(table[:, 0] - reference[:, 0]).mean():.4f}"
            f" (spread {reference[:, 0].std():.3f}), failures {int(table[:, 3].sum())},"
            f" falls off by at most {np.abs(table[:, 2] - reference[:, 2]).max():.0f} steps,"
            f" speed {rate / reference_rate:.2f}x",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
