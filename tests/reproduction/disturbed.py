"""Episodes whose drives are disturbed at every action, and what they say about a residual's weights."""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from es import config
from es.compiled_rollout import Episode
from es.envs.gait_observation import NAMES_GAIT
from es.envs.observations import mirror
from es.envs.physics import STEP_SECONDS
from es.native.network import cycles
from es.native.rollout import OK
from es.native.state import ACTIVATION, FIBER
from es.policies.gait_weights import MUSCLES, waves
from es.policies.residual import Residual
from tests.reproduction.critic import Critic, Lesson, joined, value
from tests.reproduction.gait_run import made

Array = NDArray[np.float64]

LAMBDA = 0.99
"""Per action, of generalized advantages (J. Schulman et al. 2016, arXiv 1506.02438), without discount."""
OBSTACLES = 3
"""That the critic sees, with their distance."""
FAR = 4.0
"""How far it sees them, m."""

_MIRRORED = mirror(NAMES_GAIT)


class Task(NamedTuple):
    """For a process: episodes on these courses."""

    environment: config.Environment
    policy: config.Gait
    """With a residual."""
    theta: Array
    noise: float
    """Standard deviation of what is added to each drive, before the head, at every action."""
    fall: float
    """Metres that a fall costs, beside the way that is not made."""
    critic: Critic | None
    """None: advantages are whole returns."""
    seeds: tuple[int, ...]


class Moment(NamedTuple):
    """Of an episode, or several with a leading axis."""

    values: Array
    """Observation, shape (size,)."""
    activations: Array
    """Of the muscles, shape (18,)."""
    x: Array
    """Of the pelvis, m."""
    seconds: Array
    """Since the start."""
    cycles: Array
    """Phase of the clock."""


class Experience(NamedTuple):
    """Of some episodes; sums are over their actions and both legs."""

    squares: Array
    """Sum of what is weighed times itself, shape (features, features)."""
    products: Array
    """Sum of what is weighed times a muscle's disturbance, in units of the noise, times the advantage of the
    action, shape (features, 9)."""
    lesson: Lesson
    steps: int
    """Environment steps."""
    metres: tuple[float, ...]
    """Of each episode."""
    survived: tuple[bool, ...]


def total(parts: Sequence[Experience]) -> Experience:
    """Of all their episodes."""
    return Experience(
        reduce(np.add, [part.squares for part in parts]),
        reduce(np.add, [part.products for part in parts]),
        joined([part.lesson for part in parts]),
        sum(part.steps for part in parts),
        tuple(metres for part in parts for metres in part.metres),
        tuple(survived for part in parts for survived in part.survived),
    )


def experience(task: Task) -> Experience:
    """Run the task's episodes."""
    assert task.policy.residual
    env, policy = made(task.environment, task.policy)
    residual = Residual(task.policy.residual.hidden)
    repeat = task.environment.action_repeat
    return total(
        [
            _experience(
                Episode(env, policy, task.theta, seed=seed, action_repeat=repeat), task, residual, seed
            )
            for seed in task.seeds
        ]
    )


def _experience(episode: Episode, task: Task, residual: Residual, seed: int) -> Experience:
    rng = np.random.default_rng(seed)
    moments, disturbances = [], []
    outcome = episode.run(0)  # fills in the first observation
    metres = [outcome.metres]
    while not outcome.done:
        moments.append(moment(episode))
        disturbances.append(rng.standard_normal(2 * MUSCLES))
        outcome = episode.run(outcome.actions + 1, task.noise * disturbances[-1][None])
        metres.append(outcome.metres)
    now = Moment(*map(np.array, zip(*moments, strict=True)))
    seen, left = features(now, episode.course.obstacles), episode.rules.max_steps * STEP_SECONDS - now.seconds
    survived = not (outcome.fell or outcome.stopped or outcome.ending != OK)
    if not survived:
        metres[-1] -= task.fall
    foreseen = value(task.critic, seen, left) if task.critic else np.zeros(len(left))
    gained = advantages(np.diff(metres), foreseen, LAMBDA if task.critic else 1.0)
    weighed = residual.features(inputs(now.values, now.cycles))
    weighed = weighed.reshape(-1, weighed.shape[-1])
    products = (gained[:, None] * disturbances).reshape(-1, MUSCLES)
    return Experience(
        weighed.T @ weighed,
        weighed.T @ products,
        Lesson(seen, left, gained + foreseen),
        outcome.length,
        (outcome.metres,),
        (survived,),
    )


def advantages(rewards: Array, values: Array, decay: float) -> Array:
    """Generalized ones of each action, shape (n,), without discount; after the last the value is 0."""
    surprises = rewards + np.append(values[1:], 0.0) - values
    gained = np.empty_like(surprises)
    later = 0.0
    for i in reversed(range(len(surprises))):
        later = gained[i] = surprises[i] + decay * later
    return gained


def moment(episode: Episode) -> Moment:
    """An episode's, before its next action."""
    now, (network, opening) = episode.moment, episode.acting
    length, actions = now.counts.tolist()
    phase = cycles(network, opening, actions, float(now.shift[0]))
    activations = episode.state[ACTIVATION:FIBER].copy()
    return Moment(now.values.copy(), activations, now.basic[1], length * STEP_SECONDS, phase)


def inputs(values: Array, cycles: Array) -> Array:
    """Of a gait's network for both legs, shape (n, 2, inputs): right, left.

    Args:
        values: observations, shape (n, size).
        cycles: phases of the clock, shape (n,).
    """
    right = np.concatenate([values, waves(cycles)], axis=1)
    left = np.concatenate([values[:, _MIRRORED], waves(cycles + 0.5)], axis=1)
    return np.stack([right, left], axis=1)


def features(now: Moment, obstacles: Array) -> Array:
    """What the critic sees of moments of a run over obstacles, ascending in x, shape (n, features)."""
    nothing = np.tile([np.inf, -1.0, 0.0], (OBSTACLES, 1))
    first = np.searchsorted(obstacles[:, 0], now.x - 0.5)
    near = np.concatenate([obstacles, nothing])[first[:, None] + np.arange(OBSTACLES)]
    distance = np.minimum(near[..., 0] - now.x[:, None], FAR)
    height = 10 * np.maximum(near[..., 1] + 0.1, 0.0)
    parts = [now.values, now.activations, waves(now.cycles), distance, height, now.seconds[:, None] / 10]
    return np.concatenate(parts, axis=1)
