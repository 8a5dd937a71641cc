"""Mirrored pushes from moments of a run: what they do to the metres still to come, as a critic sees it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from es import config
from es.compiled_rollout import Episode
from es.envs import registry as envs
from es.envs.gait_observation import NAMES_GAIT
from es.envs.observations import mirror
from es.envs.physics import STEP_SECONDS
from es.native.network import taken_over
from es.native.rollout import OK, Outcome
from es.native.state import ACTIVATION, FIBER
from es.policies import registry as policies
from es.policies.gait_weights import HARMONICS
from es.policies.residual import Residual
from tests.reproduction.critic import Critic, Trace, value

Array = NDArray[np.float64]

FIRST_SEED = 11 * 10**8
"""Of the courses; training draws its own from all of them."""
LAST_NUMBER = 2**31
"""Of an episode, which tells its course and its disturbance; the critic's first lesson has the last ones."""
PUSH = 0.7
"""Standard deviation of a push, before the head."""
HOLD = 4
"""Actions for which a push lasts."""
SPACING = 5
"""Actions between the moments that an episode offers."""
PAIRS = 40
"""From an episode."""
OBSTACLES = 3
"""That the critic sees, with their distance."""
FAR = 4.0
"""How far it sees them, m."""
BLOCK = 4
"""Episodes that a process runs in a row."""

_MIRRORED = mirror(NAMES_GAIT)


class Runner(NamedTuple):
    """Who runs, and where."""

    environment: config.Environment
    policy: config.Gait
    sigma: float
    """Of the strategy that found it."""

    @property
    def seconds(self) -> float:
        """That an episode lasts at most."""
        return float(self.environment.arguments.get("max_steps", 1000)) * STEP_SECONDS


class Push(NamedTuple):
    """One mirrored pair."""

    weighed: Array
    """What the residual weighs at the moment of the push, shape (2, features): right leg, left leg."""
    push: Array
    """Shape (18,)."""
    half: float
    """Half the difference of what the two ends are worth, m."""
    steps: int
    """Environment steps that both took."""


class Task(NamedTuple):
    """For a process: episodes with these numbers."""

    runner: Runner
    theta: Array
    sigma: float
    """Of what disturbs all parameters of an episode."""
    length: int
    """Actions after which the end of a push is judged."""
    critic: Critic | None
    """None where nothing is pushed."""
    numbers: tuple[int, ...]


def phase(episode: Episode) -> float:
    """Of the clock at the next action, cycles."""
    network, opening = episode.acting
    actions, shift = int(episode.moment.counts[1]), float(episode.moment.shift[0])
    if actions == opening.actions:
        shift += taken_over(network, opening)
    return actions * (opening.network if actions < opening.actions else network).cycles + shift


def _waves(cycles: float) -> Array:
    angles = 2 * np.pi * cycles * np.arange(1, HARMONICS + 1)
    return np.column_stack([np.sin(angles), np.cos(angles)]).ravel()


def inputs(episode: Episode) -> Array:
    """Of a gait's network for both legs, shape (2, inputs): right, left."""
    values, cycles = episode.moment.values, phase(episode)
    legs = ((values, cycles), (values[_MIRRORED], cycles + 0.5))
    return np.array([np.concatenate([seen, _waves(clock)]) for seen, clock in legs])


def features(episode: Episode) -> Array:
    """What the critic sees of a moment, shape (n,)."""
    moment, x = episode.moment, episode.moment.basic[1]
    ahead = np.tile([FAR, 0.0], (OBSTACLES, 1))
    near = [each for each in episode.course.obstacles if each[0] - x > -0.5][:OBSTACLES]
    for row, (center, height, _) in zip(ahead, near, strict=False):
        row[:] = min(center - x, FAR), 10 * max(height + 0.1, 0.0)
    seconds = moment.counts[0] * STEP_SECONDS
    return np.concatenate(
        [
            moment.values,
            episode.state[ACTIVATION:FIBER],
            _waves(phase(episode)),
            ahead.ravel(),
            [seconds / 10],
        ]
    )


def trace(episode: Episode, moments: list[Episode] | None = None) -> Trace:
    """Run an episode to its end: what it was like; ``moments`` receives copies of it on the way, if given."""
    values, seconds, metres = [], [], []
    outcome = episode.run(SPACING)
    while not outcome.done:
        if moments is not None:
            moments.append(episode.copy())
        values.append(features(episode))
        seconds.append(outcome.length * STEP_SECONDS)
        metres.append(outcome.metres)
        outcome = episode.run(outcome.actions + SPACING)
    end = outcome.length * STEP_SECONDS
    return Trace(np.array(values), np.array(seconds), np.array(metres), end, outcome.metres, _stands(outcome))


def _stands(outcome: Outcome) -> bool:
    return not (outcome.fell or outcome.stopped or outcome.ending != OK)


def pushed(
    moments: list[Episode], task: Task, critic: Critic, residual: Residual, rng: np.random.Generator
) -> list[Push]:
    """Pairs from random ones of these moments of an episode."""
    seconds = task.runner.seconds
    pairs = []
    for _ in range(PAIRS if moments else 0):
        moment = moments[rng.integers(len(moments))]
        actions, before = int(moment.moment.counts[1]), 2 * int(moment.moment.counts[0])
        push = PUSH * rng.standard_normal(18)
        worth, steps = [], -before
        for way in (push, -push):
            episode = moment.copy()
            outcome = episode.run(actions + task.length, np.tile(way, (HOLD, 1)))
            steps += outcome.length
            worth.append(outcome.metres)
            if _stands(outcome):
                end = np.array([outcome.length * STEP_SECONDS])
                worth[-1] += float(value(critic, features(episode)[None], end, episode=seconds)[0])
        weighed = residual.features(inputs(moment))
        pairs.append(Push(weighed, push, (worth[0] - worth[1]) / 2, steps))
    return pairs


def _episodes(task: Task) -> Iterator[tuple[Episode, np.random.Generator]]:
    """At their start, each disturbed in its own way, and what draws for it."""
    env = envs.make(task.runner.environment)
    repeat = task.runner.environment.action_repeat
    policy = policies.make(task.runner.policy, env, action_repeat=repeat)
    for number in task.numbers:
        rng = np.random.default_rng(number)
        theta = task.theta + task.sigma * rng.standard_normal(task.theta.size)
        yield Episode(env, policy, theta, seed=FIRST_SEED + number, action_repeat=repeat), rng


def traces(task: Task) -> list[Trace]:
    """Of the task's episodes."""
    return [trace(episode) for episode, _ in _episodes(task)]


def pairs(task: Task) -> list[tuple[Trace, list[Push]]]:
    """Of the task's episodes, and pairs from moments of each."""
    assert task.critic
    assert task.runner.policy.residual
    residual = Residual(task.runner.policy.residual.hidden)
    found = []
    for episode, rng in _episodes(task):
        moments: list[Episode] = []
        seen = trace(episode, moments)
        found.append((seen, pushed(moments, task, task.critic, residual, rng)))
    return found


def tasks(task: Task, numbers: range) -> list[Task]:
    """The task in parts, for these numbers."""
    parts = [tuple(numbers[first : first + BLOCK]) for first in range(0, len(numbers), BLOCK)]
    return [task._replace(numbers=part) for part in parts]
