"""What a moment is worth to a planner: a network, fitted to where the tries of planned runs lead.

`python -m tests.reproduction.foresee fast-runner runs/planned`, then `es evaluate planned`. Runs are planned
on the compiled twin; at each plan the gait alone goes on from the ends of a few tries for
`es.policies.worth.SPAN` seconds more, among all obstacles of the course, those included that the runner
cannot know of. How far it comes, and whether it stays up, is what the network is to foresee.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from es import config, optimizers, options
from es.checkpoint import MasterState
from es.cli import OneLineErrors
from es.envs import registry as envs
from es.envs.learning_to_run import Limits
from es.envs.physics import STEP_SECONDS
from es.policies import registry as policies
from es.policies import worth
from es.policies.gait_weights import waves
from es.policies.planner import Planner
from es.run_dir import RunDir
from tests.reproduction import layers
from tests.reproduction.gait_run import go_on, open_gait

Array = NDArray[np.float64]

AT_FIRST = 16
"""Tries of a plan while nothing is known of their worth; the mean of all is followed: a disturbed gait."""
FROM_A_PLAN = 6
"""Tries of each plan that are followed."""
EPOCHS = 60
BATCH = 256
RATE = 1e-3
"""Of Adam at first; it falls to 0 in a straight line."""
DECAY = 1e-3
"""Of weights, per unit of that rate."""
BLUR = 0.05
"""Standard deviation of noise on inputs, in units of theirs."""
LARGEST = 5.0
"""Of inputs, and `LARGEST_ERROR` of errors, in such units; larger ones count as this."""
LARGEST_ERROR = 3.0


class Samples(NamedTuple):
    """Moments at the ends of tries."""

    seen: Array
    """What the network sees, shape (n, inputs)."""
    found: Array
    """Metres in the next `SPAN` seconds, and 1 where the runner is still up, otherwise 0; shape (n, 2)."""


class Planned(NamedTuple):
    """A run, planned, and what it had to tell."""

    metres: float
    fell: bool
    samples: Samples


def gather(environment: config.Environment, policy: config.Planner, theta: Array, seed: int) -> Planned:
    """Plan a run on this course.

    Args:
        environment: on the twin.
        policy: the planner.
        theta: its parameters.
        seed: of the course.
    """
    env, repeat = envs.make(environment), environment.action_repeat
    raw, info = env.reset(seed=seed)
    task: Any = env.unwrapped
    planner = policies.make(policy, env, action_repeat=repeat)
    assert isinstance(planner, Planner)
    planning, rng = planner.bind(theta), np.random.default_rng(seed)
    all_seeing = planner.foresight(theta, [(x, y, r) for x, y, r in task.told().obstacles.tolist()])
    span = round(worth.SPAN / (STEP_SECONDS * repeat))
    seen, found = [], []
    ended, actions = False, 0
    while not ended:
        all_seeing.observe(raw)
        action = planning(raw)
        if actions % planner.hold == 0:
            last = [i for i, end in enumerate(planning.ends) if not end.fell and end.left >= worth.SPAN]
            for i in rng.permutation(last)[:FROM_A_PLAN]:
                pushes = np.repeat(planning.tries[i], planner.hold, axis=0)
                there, later = planning.ends[i], all_seeing.ahead(pushes, planner.ahead + span)
                seen.append([*there.values, *there.activations, *waves(np.array([there.phase]))[0]])
                found.append([later.metres - there.metres, not later.fell])
        all_seeing.act(planning.plan[0])
        actions += 1
        for _ in range(repeat):
            raw, _, terminated, truncated, info = env.step(action)
            ended = terminated or truncated
            if ended:
                break
    samples = Samples(np.array(seen).reshape(-1, worth.sizes(1)[0]), np.array(found, float).reshape(-1, 2))
    return Planned(info["metres"], info["fell"], samples)


def fit(samples: Samples, hidden: int, rng: np.random.Generator) -> Array:
    """Parameters of a network that foresees what was found, least squares, shape (count_params(hidden),)."""
    mean, spread = samples.seen.mean(axis=0), samples.seen.std(axis=0) + 0.01
    middle, scale = samples.found.mean(axis=0), samples.found.std(axis=0) + 0.01
    x = np.clip((samples.seen - mean) / spread, -LARGEST, LARGEST).astype(np.float32)
    wanted = ((samples.found - middle) / scale).astype(np.float32)
    sizes = worth.sizes(hidden)
    theta = layers.initial(sizes, rng)
    moments = optimizers.init(config.Adam(), theta.size)
    for epoch in range(EPOCHS):
        rate = RATE * (1.0 - epoch / EPOCHS)
        order = rng.permutation(len(x))
        for first in range(0, len(x) - BATCH + 1, BATCH):
            batch = order[first : first + BATCH]
            blurred = x[batch] + BLUR * rng.standard_normal(x[batch].shape, np.float32)
            network = layers.layers(theta, sizes)
            given = layers.forward(network, blurred)
            error = np.clip(given[-1] - wanted[batch], -LARGEST_ERROR, LARGEST_ERROR) / len(batch)
            moments, step = optimizers.ascend(
                config.Adam(learning_rate=rate), moments, -layers.backward(network, given, error)
            )
            theta = (1.0 - DECAY * rate) * theta + step
    return _for_raw(theta, sizes, (mean, spread), (middle, scale))


def explained(samples: Samples, theta: Array, hidden: int) -> tuple[float, float]:
    """Shares of the variance of metres and of staying up that a network with these parameters foresees."""
    network = layers.layers(theta, worth.sizes(hidden))
    missed = layers.forward(network, samples.seen.astype(np.float32))[-1] - samples.found
    metres, up = 1.0 - (missed**2).mean(axis=0) / (samples.found.var(axis=0) + 1e-9)
    return float(metres), float(up)


def _for_raw(
    theta: Array, sizes: tuple[int, ...], inputs: tuple[Array, Array], outputs: tuple[Array, Array]
) -> Array:
    """Parameters for inputs and outputs as they are that do what these do for scaled ones: (mean, spread)."""
    (first, bias), *between, (last, last_bias) = layers.layers(theta, sizes)
    first = first / inputs[1]
    last, last_bias = last * outputs[1][:, None], last_bias * outputs[1] + outputs[0]
    parts = [(first, bias - first @ inputs[0]), *between, (last, last_bias)]
    return np.concatenate([part.ravel() for layer in parts for part in layer])


def begin(
    runs_dir: Path, name: str, destination: Path, samples: int, best: int
) -> tuple[RunDir, config.Experiment, MasterState]:
    """A new run of a planner around a gait, which foresees nothing yet beyond what it tries.

    Raises:
        ClickException: the run's policy is no gait.
        EsError: the run cannot be read, or the new one not be written.
    """
    gait = open_gait(runs_dir, name)
    last = config.at_stage(gait.run.experiment(), gait.state.stage)
    arguments = {key: value for key, value in last.environment.arguments.items() if key not in Limits._fields}
    changed = replace(
        last,
        policy=config.Planner(gait=gait.policy, samples=samples, best=best),
        environment=replace(last.environment, arguments=arguments | {"observation": "41"}),
        strategy=replace(last.strategy, average=0.0),
        observation_normalization=config.ObservationNormalization(enabled=False),
    )
    return go_on(gait, changed, destination)


@click.command(cls=OneLineErrors)
@click.argument("run")
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--courses", type=click.IntRange(1), default=20, show_default=True, help="Of a round.")
@click.option("--rounds", type=click.IntRange(1), default=2, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of courses and network.")
@click.option("--samples", type=click.IntRange(4), default=64, show_default=True, help="Tries of a plan.")
@click.option(
    "--best", type=click.IntRange(1), default=8, show_default=True, help="Of these, what it follows."
)
@options.runs_dir
def main(
    run: str, destination: Path, courses: int, rounds: int, seed: int, samples: int, best: int, runs_dir: Path
) -> None:
    """Make a planner of RUN, a gait, and write it to DESTINATION, a run like any other.

    In the first round the gait is disturbed, without a plan. After each the network is fitted to all that was
    found, and the next one plans with it.
    """
    copy, experiment, state = begin(runs_dir, run, destination, samples, best)
    policy = experiment.policy
    assert isinstance(policy, config.Planner)
    theta, own = state.parameters, worth.count_params(policy.hidden)
    drawn = np.random.default_rng([seed, 2])
    found: list[Samples] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for number in range(1, rounds + 1):
            seeds = drawn.integers(10**9, 2**31, courses).tolist()
            planner = policy if number > 1 else replace(policy, samples=AT_FIRST, best=AT_FIRST)
            plan = partial(gather, experiment.environment, planner, theta)
            for planned in pool.map(plan, seeds):
                found.append(planned.samples)
                fell = ", fell" if planned.fell else ""
                click.echo(
                    f"round {number}: {planned.metres:.1f} m{fell}; {len(planned.samples.seen)} moments"
                )
            together = Samples(*(np.concatenate(each) for each in zip(*found, strict=True)))
            fitted = fit(together, policy.hidden, np.random.default_rng([seed, 3]))
            theta = np.concatenate([theta[:-own], fitted])
            copy.save_checkpoint(experiment, state._replace(search=state.search._replace(theta=theta)))
            shares = explained(together, fitted, policy.hidden)
            click.echo(
                f"round {number}: foresees {shares[0]:.0%} of the variance of metres, {shares[1]:.0%} of "
                f"that of falls, in {len(together.seen)} moments"
            )


if __name__ == "__main__":
    main()
