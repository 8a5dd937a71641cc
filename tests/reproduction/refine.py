"""A natural policy gradient of a gait's residual: what evolution strategies left to gain.

`python -m tests.reproduction.refine runner runs/refined --minutes 60`, then `es evaluate refined`. An
evolution strategy disturbs all parameters for a whole episode, and one number comes back. Here each muscle's
drive is disturbed at each action, on the compiled twin, and a critic that foresees what is still to come says
what each disturbance was worth. The residual is linear in what it weighs and all drives are disturbed alike,
so the Fisher matrix is the same small one for each muscle, and the way up solves one linear system: S. Kakade
2001, "A natural policy gradient", NIPS 14, in the compatible features of J. Peters and S. Schaal 2008,
"Natural actor-critic", Neurocomputing 71.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from es import config, options
from es.checkpoint import MasterState
from es.cli import OneLineErrors
from es.run_dir import RunDir
from tests.reproduction import critic
from tests.reproduction.disturbed import Task, experience, total
from tests.reproduction.gait_run import go_on, groups, open_gait

Array = NDArray[np.float64]
Command = Callable[..., None]

EPISODES = 200
"""Of a batch."""
BLOCK = 5
"""Episodes that a process runs in a row."""
WARM = 4
"""Batches from which only the critic learns."""
LESSONS = 5
"""Batches that the critic goes through after each one: once, three times as long as only it learns."""
DECAY = 0.8
"""Of earlier batches' weight in the linear system."""
AVERAGE = 0.9
"""Decay of the exponential average of the parameters, the one that is kept."""
RIDGE = 0.1
"""Per action, added to the diagonal of the linear system."""


class Settings(NamedTuple):
    """Of a refinement."""

    noise: float = 0.4
    """Standard deviation of what is added to a drive, before the head."""
    step: float = 0.1
    """How far a batch moves the 9 drives of a leg, root mean square of their norm, before the head."""
    fall: float = 6.0
    """Metres that a fall costs, beside the way that is not made."""
    seed: int = 1
    """Of the courses and what is drawn for them."""


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
    environment: config.Environment,
    policy: config.Gait,
    theta: Array,
    settings: Settings,
    pool: ProcessPoolExecutor,
) -> Iterator[Progress]:
    """Improve the residual for as long as one asks for batches.

    Args:
        environment: on the compiled twin.
        policy: with a residual.
        theta: where to begin, shape (num_params,).
        settings: how.
        pool: what runs episodes.
    """
    part, average, steps = groups(policy)["residual"], theta, 0
    rng = np.random.default_rng(settings.seed)
    foresight: critic.Critic | None = None
    lessons: list[critic.Lesson] = []
    squares, products, weight = np.zeros(()), np.zeros(()), 0.0
    for batch, courses in enumerate(_courses(settings.seed)):
        task = Task(environment, policy, theta, settings.noise, settings.fall, foresight, ())
        tasks = [task._replace(seeds=courses[i : i + BLOCK]) for i in range(0, len(courses), BLOCK)]
        found = total([*pool.map(experience, tasks)])
        lessons = [*lessons, found.lesson][-LESSONS:]
        foresight = foresight or critic.begin(found.lesson, rng)
        foresight = critic.learn(foresight, lessons, rng, epochs=3 if batch < WARM else 1)
        if batch >= WARM:
            actions = len(found.lesson.left)
            squares = DECAY * squares + found.squares
            products = DECAY * products + found.products
            weight = DECAY * weight + actions
            way = direction(squares, products, weight, found.squares / actions)
            caution = 1.0 - DECAY ** (batch - WARM + 1)  # while few batches tell the way
            theta = theta.copy()
            theta[part] += settings.step * caution * way.T.ravel()
            average = AVERAGE * average + (1.0 - AVERAGE) * theta
        steps += found.steps
        yield Progress(theta, average, steps, float(np.mean(found.metres)), float(np.mean(found.survived)))


def direction(squares: Array, products: Array, actions: float, moved: Array) -> Array:
    """Uphill, shape (features, 9).

    Args:
        squares: sum over actions and legs of what is weighed times itself, shape (features, features).
        products: of what is weighed times a disturbance times its advantage, shape (features, 9).
        actions: how many.
        moved: mean of squares where the drives are to move by 1, root mean square of their norm.
    """
    way = np.linalg.solve(squares + RIDGE * actions * np.eye(len(squares)), products)
    uphill: Array = way / np.sqrt(np.sum(way * (moved @ way)))
    return uphill


def _courses(seed: int) -> Iterator[tuple[int, ...]]:
    """Seeds of each batch's courses, in turn; other ones than those of scores, 1 and up."""
    rng = np.random.default_rng([seed, 1])
    while True:
        yield tuple(rng.integers(10**9, 2**31, EPISODES).tolist())


def begin(
    runs_dir: Path, name: str, destination: Path, hidden: int
) -> tuple[RunDir, config.Experiment, MasterState]:
    """A new run that begins where that one, a gait, has ended; a residual it lacked has so many units.

    Raises:
        ClickException: its policy is no gait.
        EsError: the run cannot be read, or the new one not be written.
    """
    gait = open_gait(runs_dir, name)
    last = config.at_stage(gait.run.experiment(), gait.state.stage)
    residual = gait.policy.residual or config.Residual(hidden=hidden)
    policy = msgspec.structs.replace(gait.policy, residual=residual)
    return go_on(gait, msgspec.structs.replace(last, policy=policy), destination)


def _setting(name: str, kind: click.ParamType, text: str) -> Callable[[Command], Command]:
    """The option for one of `Settings`."""
    default = getattr(Settings(), name)
    return click.option(f"--{name}", type=kind, default=default, show_default=True, help=text)


@click.command(cls=OneLineErrors)
@click.argument("run")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True)
@click.option("--hidden", type=click.IntRange(1), default=40, show_default=True, help="Units of a residual.")
@_setting("noise", click.FloatRange(0, min_open=True), "Disturbance of each drive.")
@_setting("step", click.FloatRange(0, min_open=True), "How far a batch moves the drives.")
@_setting("fall", click.FloatRange(0), "What a fall costs beside the way that is not made, m.")
@_setting("seed", click.IntRange(0), "Of the courses and what is drawn for them.")
@options.runs_dir
def main(
    run: str,
    destination: Path,
    minutes: float,
    hidden: int,
    noise: float,
    step: float,
    fall: float,
    seed: int,
    runs_dir: Path,
) -> None:
    """Improve the residual of RUN, a gait, for so long, and write it to DESTINATION, a run like any other.

    A gait without a residual gets one. After each batch what it has come to is written: it can be stopped at
    any time, and gone on with from there.
    """
    copy, experiment, state = begin(runs_dir, run, destination, hidden)
    assert isinstance(experiment.policy, config.Gait)
    settings, began = Settings(noise, step, fall, seed), time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        batches = refine(experiment.environment, experiment.policy, state.parameters, settings, pool)
        for batch, now in enumerate(batches, start=1):
            passed = (time.monotonic() - began) / 60
            click.echo(
                f"batch {batch}: {now.metres:.1f} m, {now.survived:.0%} survive; "
                f"{now.steps / 1e6:.1f} M steps, {passed:.1f} min"
            )
            average = now.average if state.average.size else state.average
            kept = state._replace(
                steps=now.steps, average=average, search=state.search._replace(theta=now.average)
            )
            copy.save_checkpoint(experiment, kept)
            if passed > minutes:
                break


if __name__ == "__main__":
    main()
