"""The policies of an experiment's stages, and whether everything in the experiment fits together."""

import inspect
from contextlib import ExitStack, closing

import numpy as np
from numpy.typing import NDArray

from es import config, noise
from es.envs import registry as envs
from es.envs.registry import Env
from es.errors import EsError, ExperimentError
from es.policies import registry as policies
from es.policies.policy import Policy

Array = NDArray[np.float64]


def stage_policy(experiment: config.Experiment, stage: int) -> Policy:
    """The policy that the workers run in a stage.

    Raises:
        ExperimentError: its environment cannot be built, or the policy does not fit it.
    """
    settings = config.at_stage(experiment, stage)
    with closing(envs.make(settings.environment)) as env:
        return _policy(settings, env)


def build_policy(experiment: config.Experiment) -> Policy:
    """The policy of the first stage, after a look at all of them.

    Raises:
        ExperimentError: an environment cannot be built, or the policy or a setting does not fit it, or a
            stage's policy cannot go on from the one before.
    """
    scored = config.evaluation_environment(experiment)
    checked: list[Policy] = []
    theta = np.zeros(0)
    with ExitStack() as stack:
        scoring: Env | None = None  # one for all stages: OpenSim's takes a second to build
        for number in range(max(1, len(experiment.stage))):
            rng = noise.generator(noise.Stream.INITIAL_PARAMETERS, experiment.seed, number)
            where = f"stage[{number}].changes: " if experiment.stage else ""
            stage = config.at_stage(experiment, number)
            with closing(envs.make(stage.environment)) as env:
                policy = _policy(stage, env)
                _check_ramps(stage, env, where)
            _check_features(stage, policy.sizes[0], where)
            if scored != stage.environment:
                scoring = scoring or stack.enter_context(closing(envs.make(scored)))
                _check_evaluation(stage, scoring, policy, where)
            theta = _continued(policy, checked[-1], theta, rng, where) if checked else policy.initial(rng)
            checked.append(policy)
    return checked[0]


def _continued(policy: Policy, before: Policy, theta: Array, rng: np.random.Generator, where: str) -> Array:
    try:
        return policy.widen(theta, before.sizes, rng)
    except ExperimentError as error:
        reason = str(error).removeprefix("warm_start.checkpoint: ")
        raise ExperimentError(f"{where}cannot go on from the stage before: {reason}") from error


def _policy(stage: config.Experiment, env: Env) -> Policy:
    return policies.make(stage.policy, env, action_repeat=stage.environment.action_repeat)


def _check_evaluation(stage: config.Experiment, scoring: Env, policy: Policy, where: str) -> None:
    other = _policy(stage, scoring)
    if other.sizes != policy.sizes:
        raise ExperimentError(
            f"{where or 'evaluation.arguments: '}expected observations and actions as in the evaluations, "
            f"{other.sizes}, got {policy.sizes}"
        )


def _check_ramps(stage: config.Experiment, env: Env, where: str) -> None:
    for i, ramp in enumerate(stage.ramp):
        configure = getattr(env.unwrapped, "configure", None)
        if configure is None or not inspect.signature(configure).parameters:
            raise ExperimentError(f"{where}ramp[{i}]: {stage.environment.id} has nothing to configure")
        try:
            configure(**{ramp.argument: ramp.start})
        except (EsError, TypeError, ValueError) as error:
            raise ExperimentError(f"{where}ramp[{i}].argument = {ramp.argument!r}: {error}") from error


def _check_features(stage: config.Experiment, size: int, where: str) -> None:
    for i, feature in enumerate(stage.observation_normalization.features):
        if max(feature.observations) >= size:
            raise ExperimentError(
                f"{where}observation_normalization.features[{i}].observations = {list(feature.observations)}:"
                f" expected indices from 0 to {size - 1}, the observations of {stage.environment.id}"
            )
