"""A run whose policy is a gait, to look around its last parameters."""

from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from msgspec.structs import replace

from es import config
from es.checkpoint import MasterState
from es.commands import episodes
from es.envs import registry as envs
from es.policies import registry as policies
from es.policies.gait_weights import SELECTION
from es.policies.policy import Policy
from es.policies.residual import count_params
from es.run_dir import RunDir
from master.policies import stage_policy
from master.update import initial_state


class GaitRun(NamedTuple):
    """A run, its last state, and where and with what it stood there."""

    run: RunDir
    state: MasterState
    environment: config.Environment
    policy: config.Gait
    sigma: float
    """Of the strategy."""


def open_gait(runs_dir: Path, name: str) -> GaitRun:
    """Open a run.

    Raises:
        ClickException: its policy is no gait.
    """
    run = RunDir.open(runs_dir, name)
    state = episodes.load(run, "latest")
    stage = config.at_stage(run.experiment(), state.stage)
    if not isinstance(stage.policy, config.Gait):
        kind = stage.policy.__struct_config__.tag
        raise click.ClickException(f"{name}: expected a policy of kind 'gait', got '{kind}'")
    return GaitRun(run, state, stage.environment, stage.policy, stage.strategy.sigma)


def go_on(
    gait: GaitRun, changed: config.Experiment, destination: Path
) -> tuple[RunDir, config.Experiment, MasterState]:
    """A new run that begins where that one has ended, by an experiment of one stage with other settings.

    Raises:
        EsError: its policy cannot go on from there, or the run not be written.
    """
    source = gait.run.checkpoint_path(gait.state.generation)
    warm = replace(changed, ramp=(), warm_start=config.WarmStart(checkpoint=str(source)))
    state = initial_state(warm, stage_policy(warm, 0))
    experiment = replace(warm, warm_start=None)
    run = RunDir.create(destination.parent, experiment, destination.name, version("opensim-es"))
    run.save_checkpoint(experiment, state)
    return run, experiment, state


def made(environment: config.Environment, policy: config.Gait) -> tuple[envs.Env, Policy]:
    """The environment, and the policy for it."""
    env = envs.make(environment)
    return env, policies.make(policy, env, action_repeat=environment.action_repeat)


def groups(policy: config.Gait) -> dict[str, slice]:
    """Which parameters of a gait are what."""
    n = len(SELECTION[policy.reflexes])
    sizes = {"gait": n, "opening": n + 1 if policy.opening else 0}
    sizes["residual"] = count_params(policy.residual.hidden) if policy.residual else 0
    sizes |= {f"strength {each:g}": sizes["gait"] + sizes["opening"] for each in policy.strengths}
    ends = np.cumsum([*sizes.values()]).tolist()
    return {
        name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True) if size
    }
