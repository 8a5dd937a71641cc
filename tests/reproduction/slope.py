"""How steep distance and survival are around a runner, and in which of its numbers.

`python -m tests.reproduction.slope fast-runner`. Mirrored pairs of perturbed runners, each pair on a
course of its own on the compiled twin, give the squared length of the gradient, per group of numbers, in
units of the perturbation. Where it is nothing, no search gets further from there, whatever the strategy; and
weighted with a strength of the runner, it says whether weak and strong ones ask for different things.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from es import compiled_rollout, config, options
from es.cli import OneLineErrors
from es.envs.course import LEFT_PSOAS, RIGHT_PSOAS, generate_course
from tests.reproduction.gait_run import groups, made, open_gait

Array = NDArray[np.float64]

FIRST_SEED = 10**9
"""Of the courses; training draws its own from all of them."""
SPREAD = 0.1
"""Standard deviation of a strength."""
BLOCK = 20
"""Pairs that a process runs in a row."""


class Steepness(NamedTuple):
    """Squared length of a gradient, in squared units of what is measured per unit step."""

    square: float
    """Without bias, so it may be negative."""
    error: float
    """Its standard error where the true one is 0."""


def steepness(perturbations: Array, differences: Array) -> Steepness:
    """Of the gradient that mirrored pairs tell.

    The mean of differences times perturbations has the gradient as its mean, and noise. Of the square of that
    mean, products of a pair with itself are left out: they are what noise adds.

    Args:
        perturbations: standard normal, shape (pairs, n).
        differences: half of what a pair's + has more than its -, shape (pairs,).
    """
    pairs, n = perturbations.shape
    terms = perturbations * differences[:, None]
    square = float(np.sum(terms.sum(axis=0) ** 2) - np.sum(terms**2)) / (pairs * (pairs - 1))
    return Steepness(square, float(np.sqrt(2 * n) * np.mean(differences**2) / pairs))


class _Task(NamedTuple):
    environment: config.Environment
    policy: config.Gait
    theta: Array
    sigma: float
    numbers: tuple[int, ...]


def perturbation(number: int, size: int) -> Array:
    """Of a pair, shape (size,)."""
    return np.random.default_rng(number).standard_normal(size)


def _pairs(task: _Task) -> Array:
    """Metres and survival of + and - of each pair, shape (pairs, 2, 2)."""
    env, policy = made(task.environment, task.policy)
    repeat = task.environment.action_repeat
    outcomes = []
    for number in task.numbers:
        step = task.sigma * perturbation(number, task.theta.size)
        for theta in (task.theta + step, task.theta - step):
            episode = compiled_rollout.rollout(
                env, policy, theta, seed=FIRST_SEED + number, action_repeat=repeat
            )
            outcomes.append((episode.metrics["metres"], episode.metrics.get("survived", 0.0)))
    return np.array(outcomes).reshape(-1, 2, 2)


def strengths(environment: config.Environment, numbers: range) -> Array:
    """Of the right and the left muscle on these courses, in standard deviations, shape (courses, 2)."""
    rules = [environment.arguments[name] for name in ("difficulty", "max_obstacles")]
    drawn = (generate_course(RandomState(FIRST_SEED + number), *rules).strengths for number in numbers)
    return np.array([(each[[RIGHT_PSOAS, LEFT_PSOAS]] - 1.0) / SPREAD for each in drawn])


def table(perturbations: Array, halves: Array, drawn: Array, parts: dict[str, slice]) -> list[str]:
    """Lines of the steepness of distance and survival.

    Args:
        perturbations: shape (pairs, n).
        halves: half of what + has more than -, in metres and in survival, shape (pairs, 2).
        drawn: strengths of the pairs' runners, shape (pairs, 2).
        parts: which of the n numbers are what.
    """
    weights = {"nothing": np.ones(len(drawn)), "right strength": drawn[:, 0], "left strength": drawn[:, 1]}
    lines = [f"{'numbers':<14}{'':>6}  {'weighted with':<15}{'distance, m^2':>17}{'survival':>21}"]
    for name, part in parts.items():
        for which, weight in weights.items():
            metres, survival = (steepness(perturbations[:, part], half * weight) for half in halves.T)
            lines.append(
                f"{name:<14}{part.stop - part.start:>6}  {which:<15}"
                f"{metres.square:9.2f} +- {metres.error:.2f}{survival.square:12.4f} +- {survival.error:.4f}"
            )
    return lines


@click.command(cls=OneLineErrors)
@click.argument("run")
@click.option("--pairs", type=click.IntRange(2), default=3000, show_default=True)
@click.option(
    "--sigma", type=click.FloatRange(0, min_open=True), help="Of the perturbation. [default: the run's]"
)
@options.runs_dir
def main(run: str, pairs: int, sigma: float | None, runs_dir: Path) -> None:
    """Print the table of RUN, whose policy is a gait: with 3000 pairs, three minutes on two cores."""
    gait = open_gait(runs_dir, run)
    theta, numbers = gait.state.parameters, range(pairs)
    sigma = sigma or gait.sigma
    tasks = [
        _Task(gait.environment, gait.policy, theta, sigma, tuple(numbers[first : first + BLOCK]))
        for first in range(0, pairs, BLOCK)
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        outcomes = np.concatenate([*pool.map(_pairs, tasks)])
    metres, survived = outcomes.mean(axis=(0, 1))
    click.echo(f"{pairs} pairs, sigma {sigma:g}: {metres:.1f} m, {survived:.0%} survive")
    halves = (outcomes[:, 0] - outcomes[:, 1]) / 2
    perturbations = np.array([perturbation(number, theta.size) for number in numbers])
    for line in table(perturbations, halves, strengths(gait.environment, numbers), groups(gait.policy)):
        click.echo(line)


if __name__ == "__main__":
    main()
