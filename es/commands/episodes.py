"""Unperturbed episodes of a checkpoint, for every command that shows what a policy does."""

import click

from es import config
from es.checkpoint import MasterState
from es.envs.registry import Env
from es.errors import RunNotFoundError, UsageError
from es.obs_norm import normalizer
from es.policies import registry as policies
from es.rollout import Rollout, rollout
from es.run_dir import RunDir

generation_option = click.option(
    "--generation", default="latest", show_default=True, help="latest, best (by its evaluations) or a number."
)

seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=1,
    show_default=True,
    help="Episode i is reset with seed + i.",
)


def load(run: RunDir, generation: str) -> MasterState:
    """The state that ``--generation`` names.

    Raises:
        RunNotFoundError: there is no such checkpoint.
        UsageError: neither latest nor best nor a number.
    """
    return run.load_checkpoint(choose(run, generation))


def run_episode(env: Env, experiment: config.Experiment, state: MasterState, seed: int) -> Rollout:
    """One unperturbed episode, without an episode cap."""
    stage = config.at_stage(experiment, state.stage)
    action_repeat = stage.environment.action_repeat
    policy = policies.make(stage.policy, env, action_repeat=action_repeat)
    statistics = policies.seen(stage.policy, state.statistics)
    return rollout(
        env,
        policy.bind(state.parameters),
        seed=seed,
        action_repeat=action_repeat,
        normalizer=normalizer(stage.observation_normalization, statistics),
    )


def choose(run: RunDir, generation: str) -> int:
    """The number of updates that ``--generation`` stands for.

    Raises:
        RunNotFoundError: no evaluated generation has a checkpoint.
        UsageError: neither latest nor best nor a number.
    """
    there = run.checkpoints()
    if generation == "latest":
        return there[-1] if there else 0
    if generation == "best":
        scores = {
            number: record.return_mean
            for number, record in run.evaluations().items()
            if number in there and record.return_mean is not None
        }
        if not scores:
            raise RunNotFoundError(
                f"{run.name}: no evaluated generation has a checkpoint; try --generation latest"
            )
        return max(scores, key=lambda number: (scores[number], number))
    if not generation.isdigit():
        raise UsageError(f"--generation {generation}: expected latest, best or a number")
    return int(generation)
