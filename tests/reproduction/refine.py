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
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from es import options
from es.envs.physics import STEP_SECONDS
from tests.reproduction.critic import Trace, calibrated, fit
from tests.reproduction.gait_run import groups, open_gait
from tests.reproduction.pushes import FIRST_SEED, LAST_NUMBER, Push, Runner, Task, pairs, tasks, traces

Array = NDArray[np.float64]
Command = Callable[..., None]

EPISODES = 96
"""Of a batch."""
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
    task = Task(runner, theta, runner.sigma, settings.length, None, ())
    numbers = range(LAST_NUMBER - settings.lesson, LAST_NUMBER)
    first = [each for found in pool.map(traces, tasks(task, numbers)) for each in found]
    critic = fit(first, rng, episode=seconds, epochs=FIRST_EPOCHS, rate=FIRST_RATE)
    steps = _steps(first)
    lessons: list[list[Trace]] = [[]]
    gradient = Gradient(theta[part].size // 9)
    for batch, number in enumerate(range(0, LAST_NUMBER, EPISODES), start=1):
        task = Task(runner, theta, settings.noise * runner.sigma, settings.length, critic, ())
        parts = pool.map(pairs, tasks(task, range(number, number + EPISODES)))
        seen, found = zip(*(episode for some in parts for episode in some), strict=True)
        pushes = [push for each in found for push in each]
        gradient.absorb(pushes)
        theta = theta.copy()
        theta[part] += settings.step * min(gradient.weight / ENOUGH, 1.0) * gradient.direction(pushes)
        average = average.copy()
        average[part] += (1.0 - AVERAGE) * (theta[part] - average[part])
        steps += _steps(seen) + sum(push.steps for push in pushes)
        metres, survived = np.mean([(trace.distance, trace.survived) for trace in seen], axis=0).tolist()
        yield Progress(theta, average, steps, metres, survived)
        lessons[-1] += seen
        if batch % LESSON == 0:
            taught = [*first, *(trace for each in lessons for trace in each)]
            critic = fit(taught, rng, episode=seconds, epochs=EPOCHS, rate=RATE, critic=critic)
            critic = calibrated(critic, lessons[-1], episode=seconds)
            lessons = [*lessons, []][-LESSONS:]


def _steps(seen: Iterable[Trace]) -> int:
    return round(sum(trace.end for trace in seen) / STEP_SECONDS)


def _setting(name: str, kind: click.ParamType, text: str) -> Callable[[Command], Command]:
    """The option for one of `Settings`."""
    default = getattr(Settings(), name)
    return click.option(f"--{name}", type=kind, default=default, show_default=True, help=text)


@click.command()
@click.argument("run")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True)
@_setting("noise", click.FloatRange(0), "Disturbance of all parameters, in units of the run's sigma.")
@_setting("step", click.FloatRange(0, min_open=True), "How far a batch moves the drives.")
@_setting("length", click.IntRange(1), "Actions after which the end of a push is judged.")
@_setting("lesson", click.IntRange(1), "Episodes that the critic learns from at first.")
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
    lesson: int,
    solid_drop: float | None,
    runs_dir: Path,
) -> None:
    """Improve the residual of RUN, a gait, for so long, and write it to DESTINATION, a run like any other."""
    gait = open_gait(runs_dir, run)
    if gait.policy.residual is None:
        raise click.ClickException(f"{run}: expected a gait with policy.residual, got one without")
    state, environment = gait.state, gait.environment
    copy = gait.run.export(destination, state.generation, 1)
    if solid_drop is not None:
        arguments = {**environment.arguments, "solid_drop": solid_drop}
        environment = msgspec.structs.replace(environment, arguments=arguments)
    runner = Runner(environment, gait.policy, gait.sigma)
    settings = Settings(noise, length, step, lesson)
    part, began = groups(gait.policy)["residual"], time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for batch, now in enumerate(refine(runner, state.parameters, part, settings, pool), start=1):
            passed = (time.monotonic() - began) / 60
            click.echo(
                f"batch {batch}: {now.metres:.1f} m, {now.survived:.0%} survive; "
                f"{now.steps / 1e6:.1f} M steps, {passed:.1f} min"
            )
            kept = state._replace(average=now.average, search=state.search._replace(theta=now.average))
            copy.save_checkpoint(gait.run.experiment(), kept)
            if passed > minutes:
                break


if __name__ == "__main__":
    main()
