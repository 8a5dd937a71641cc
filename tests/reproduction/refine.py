"""A natural policy gradient of a gait's residual, from pushes: what evolution strategies left to gain.

`python -m tests.reproduction.refine fast-runner refined --minutes 60`, then `es evaluate refined`. An
evolution strategy disturbs all parameters for a whole episode, and one number comes back. Here episodes on
the compiled twin are stopped at random moments; from each, the runner goes on twice, with its drives pushed
one way and the other for a few actions, and less than a second later a critic says what either end is worth.
Half the difference times the push is a gradient in the 18 drives, and the residual is linear in what it
weighs: least squares turn pushes into parameters. The idea of S. Kakade (2001), "A natural policy gradient",
NIPS 14, with mirrored differences from the same state in place of noise (J. Spall's SPSA, 1992).
"""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from es import config, options
from es.commands import episodes
from es.compiled_rollout import Episode
from es.envs import registry as envs
from es.envs.gait_observation import NAMES_GAIT
from es.envs.observations import mirror
from es.envs.physics import STEP_SECONDS
from es.native.network import taken_over
from es.native.rollout import OK
from es.native.state import ACTIVATION, FIBER
from es.policies import registry as policies
from es.policies.gait_weights import HARMONICS
from es.policies.residual import Residual
from es.run_dir import RunDir
from tests.reproduction.critic import Critic, Trace, calibrated, fit, value
from tests.reproduction.slope import groups

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
EPISODES, PAIRS = 96, 40
"""Of a batch, and of each of its episodes."""
CLIP = 8.0
"""Metres that half a difference counts for at most."""
ENOUGH = 15_000
"""Pairs from which on a batch's step is a whole one."""
DECAY = 0.92
"""Of earlier batches' weight in the least squares."""
AVERAGE = 0.9
"""Decay of the exponential average of the parameters, the one that is kept."""
RIDGE = 0.1
"""Per pair, added to the diagonal of the normal equations."""
FIRST_EPISODES, FIRST_EPOCHS, FIRST_RATE = 6000, 10, 1.5e-3
"""Of the critic's first lesson; episodes are disturbed by the strategy's sigma."""
LESSON, LESSONS, EPOCHS, RATE = 8, 10, 2, 5e-4
"""Batches between further lessons, how many of them are kept beside the first, and how they are learned."""
OBSTACLES = 3
"""That the critic sees, with their distance."""
FAR = 4.0
"""How far it sees them, m."""
BLOCK = 4
"""Episodes that a process runs in a row."""


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


class Settings(NamedTuple):
    """Of a refinement."""

    noise: float = 0.5
    """Standard deviation of what disturbs all parameters of an episode, in units of the strategy's sigma."""
    length: int = 40
    """Actions after which the end of a push is judged."""
    step: float = 0.02
    """How far a batch moves the 18 drives, root mean square of their norm."""
    lesson: int = FIRST_EPISODES
    """How many episodes the critic learns from at first."""


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


class _Task(NamedTuple):
    runner: Runner
    theta: Array
    sigma: float
    length: int
    critic: Critic | None
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
    legs = ((values, cycles), (values[mirror(NAMES_GAIT)], cycles + 0.5))
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


def trace(episode: Episode) -> tuple[Trace, list[Episode]]:
    """Run an episode to its end: what it was like, and copies of it at moments on the way."""
    moments, values, seconds, metres = [], [], [], []
    outcome = episode.run(SPACING)
    while not outcome.done:
        moments.append(episode.copy())
        values.append(features(episode))
        seconds.append(outcome.length * STEP_SECONDS)
        metres.append(outcome.metres)
        outcome = episode.run(outcome.actions + SPACING)
    end = outcome.length * STEP_SECONDS
    survived = not (outcome.fell or outcome.stopped or outcome.ending != OK)
    seen = Trace(np.array(values), np.array(seconds), np.array(metres), end, outcome.metres, survived)
    return seen, moments


def pushed(moments: list[Episode], task: _Task, critic: Critic, rng: np.random.Generator) -> list[Push]:
    """Pairs from random ones of these moments of an episode."""
    assert task.runner.policy.residual
    residual, seconds = Residual(task.runner.policy.residual.hidden), task.runner.seconds
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
            if not (outcome.fell or outcome.stopped or outcome.ending != OK):
                end = np.array([outcome.length * STEP_SECONDS])
                worth[-1] += float(value(critic, features(episode)[None], end, episode=seconds)[0])
        weighed = residual.features(inputs(moment))
        pairs.append(Push(weighed, push, (worth[0] - worth[1]) / 2, steps))
    return pairs


class Gradient:
    """Least squares of pushes, older ones counting less."""

    def __init__(self, num_features: int) -> None:
        self._normal = np.zeros((9 * num_features, 9 * num_features))
        self._right = np.zeros(9 * num_features)
        self.weight = 0.0
        """Pairs that count."""

    def absorb(self, pushes: list[Push]) -> None:
        """Take a batch of pairs."""
        x = np.array([(each.push.reshape(2, 9).T @ each.weighed).ravel() for each in pushes])
        halves = np.clip([each.half for each in pushes], -CLIP, CLIP)
        self._normal = DECAY * self._normal + x.T @ x
        self._right = DECAY * self._right + x.T @ halves
        self.weight = DECAY * self.weight + len(pushes)

    def direction(self, pushes: list[Push]) -> Array:
        """Uphill, shape (9 x features,); in these pairs it moves the drives by 1, root mean square."""
        ridge = RIDGE * self.weight * np.eye(len(self._right))
        uphill = np.linalg.solve(self._normal + ridge, self._right)
        weights = uphill.reshape(9, -1)
        moved = [np.sum((each.weighed @ weights.T) ** 2) for each in pushes]
        along: Array = uphill / np.sqrt(np.mean(moved))
        return along


def _episodes(task: _Task) -> Iterator[tuple[Episode, np.random.Generator]]:
    """At their start, each disturbed in its own way, and what draws for it."""
    env = envs.make(task.runner.environment)
    repeat = task.runner.environment.action_repeat
    policy = policies.make(task.runner.policy, env, action_repeat=repeat)
    for number in task.numbers:
        rng = np.random.default_rng(number)
        theta = task.theta + task.sigma * rng.standard_normal(task.theta.size)
        yield Episode(env, policy, theta, seed=FIRST_SEED + number, action_repeat=repeat), rng


def _traces(task: _Task) -> list[Trace]:
    return [trace(episode)[0] for episode, _ in _episodes(task)]


def _pairs(task: _Task) -> list[tuple[Trace, list[Push]]]:
    assert task.critic
    found = []
    for episode, rng in _episodes(task):
        seen, moments = trace(episode)
        found.append((seen, pushed(moments, task, task.critic, rng)))
    return found


def _tasks(task: _Task, numbers: range) -> list[_Task]:
    parts = [tuple(numbers[first : first + BLOCK]) for first in range(0, len(numbers), BLOCK)]
    return [task._replace(numbers=part) for part in parts]


class Progress(NamedTuple):
    """After a batch."""

    theta: Array
    """Where the next one starts, shape (num_params,)."""
    average: Array
    """Of all, the exponential one."""
    steps: int
    """Environment steps so far."""
    metres: float
    """In the mean of the batch's disturbed episodes."""
    survived: float
    """Share of them."""


def refine(
    runner: Runner, theta: Array, part: slice, settings: Settings, pool: ProcessPoolExecutor
) -> Iterator[Progress]:
    """Improve the residual for as long as one asks for batches.

    Args:
        runner: who runs.
        theta: where to begin, shape (num_params,).
        part: which of them are the residual's.
        settings: how.
        pool: what runs episodes.
    """
    theta, average = theta.copy(), theta.copy()
    rng, seconds = np.random.default_rng(FIRST_SEED), runner.seconds
    task = _Task(runner, theta, runner.sigma, settings.length, None, ())
    tasks = _tasks(task, range(LAST_NUMBER - settings.lesson, LAST_NUMBER))
    first = [each for found in pool.map(_traces, tasks) for each in found]
    critic = fit(first, rng, episode=seconds, epochs=FIRST_EPOCHS, rate=FIRST_RATE)
    steps = _steps(first)
    lessons: list[list[Trace]] = [[]]
    gradient = Gradient(theta[part].size // 9)
    for batch, number in enumerate(range(0, LAST_NUMBER, EPISODES), start=1):
        task = _Task(runner, theta, settings.noise * runner.sigma, settings.length, critic, ())
        tasks = _tasks(task, range(number, number + EPISODES))
        found = [each for part_found in pool.map(_pairs, tasks) for each in part_found]
        traces, pushes = [seen for seen, _ in found], [push for _, pairs in found for push in pairs]
        gradient.absorb(pushes)
        theta = theta.copy()
        theta[part] += settings.step * min(gradient.weight / ENOUGH, 1.0) * gradient.direction(pushes)
        average = AVERAGE * average + (1.0 - AVERAGE) * theta
        steps += _steps(traces) + sum(push.steps for push in pushes)
        survived = float(np.mean([seen.survived for seen in traces]))
        yield Progress(theta, average, steps, float(np.mean([seen.distance for seen in traces])), survived)
        lessons[-1] += traces
        if batch % LESSON == 0:
            taught = [*first, *(seen for each in lessons for seen in each)]
            critic = fit(taught, rng, episode=seconds, epochs=EPOCHS, rate=RATE, critic=critic)
            critic = calibrated(critic, lessons[-1], episode=seconds)
            lessons = [*lessons, []][-LESSONS:]


def _steps(traces: list[Trace]) -> int:
    return round(sum(seen.end for seen in traces) / STEP_SECONDS)


@click.command()
@click.argument("run")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True)
@click.option(
    "--noise",
    type=click.FloatRange(0),
    default=Settings().noise,
    show_default=True,
    help="Disturbance of all parameters, in units of the run's sigma.",
)
@click.option(
    "--step",
    type=click.FloatRange(0, min_open=True),
    default=Settings().step,
    show_default=True,
    help="How far a batch moves the drives.",
)
@click.option(
    "--length",
    type=click.IntRange(1),
    default=Settings().length,
    show_default=True,
    help="Actions after which the end of a push is judged.",
)
@click.option(
    "--solid-drop", type=float, help="How far below what is seen obstacles are solid, m; 0.5: not at all."
)
@options.runs_dir
def main(
    run: str,
    destination: Path,
    minutes: float,
    noise: float,
    step: float,
    length: int,
    solid_drop: float | None,
    runs_dir: Path,
) -> None:
    """Improve the residual of RUN, a gait, for so long, and write it to DESTINATION, a run like any other."""
    opened = RunDir.open(runs_dir, run)
    state = episodes.load(opened, "latest")
    stage = config.at_stage(opened.experiment(), state.stage)
    if not isinstance(stage.policy, config.Gait) or stage.policy.residual is None:
        raise click.ClickException(f"{run}: expected a gait with a residual, got another policy")
    copy = opened.export(destination, state.generation, 0)
    environment = stage.environment
    if solid_drop is not None:
        arguments = {**environment.arguments, "solid_drop": solid_drop}
        environment = msgspec.structs.replace(environment, arguments=arguments)
    runner = Runner(environment, stage.policy, stage.strategy.sigma)
    settings = Settings(noise=noise, step=step, length=length)
    part, began = groups(stage.policy)["residual"], time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for batch, now in enumerate(refine(runner, state.parameters, part, settings, pool), start=1):
            passed = (time.monotonic() - began) / 60
            click.echo(
                f"batch {batch}: {now.metres:.1f} m, {now.survived:.0%} survive; "
                f"{now.steps / 1e6:.1f} M steps, {passed:.1f} min"
            )
            kept = state._replace(average=now.average, search=state.search._replace(theta=now.average))
            copy.save_checkpoint(opened.experiment(), kept)
            if passed > minutes:
                break


if __name__ == "__main__":
    main()
