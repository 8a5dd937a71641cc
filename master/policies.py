"""The policies of an experiment's stages, and whether everything in the experiment fits together."""

import inspect

from es import config, noise
from es.envs import registry as envs
from es.envs.registry import Env
from es.errors import EsError, ExperimentError
from es.policies import registry as policies
from es.policies.registry import Policy


def stage_policy(experiment: config.Experiment, stage: int) -> Policy:
    """The policy that the workers run in a stage.

    Raises:
        ExperimentError: its environment cannot be built, or the policy does not fit it.
    """
    settings = config.at_stage(experiment, stage)
    env = envs.make(settings.environment)
    try:
        return _policy(settings, env)
    finally:
        env.close()


def build_policy(experiment: config.Experiment) -> Policy:
    """The policy of the first stage, after a look at all of them.

    Raises:
        ExperimentError: an environment cannot be built, or the policy or a setting does not fit it, or a
            stage's policy cannot go on from the one before.
    """
    first = previous = stage_policy(experiment, 0)
    theta = first.initial(noise.generator(noise.Stream.INITIAL_PARAMETERS, experiment.seed))
    for number in range(max(1, len(experiment.stage))):
        where = f"stage[{number}].changes: " if experiment.stage else ""
        stage = config.at_stage(experiment, number)
        env = envs.make(stage.environment)
        try:
            policy = _policy(stage, env)
            _check_ramps(stage, env, where)
        finally:
            env.close()
        _check_features(stage, policy.sizes[0], where)
        _check_evaluation(experiment, stage, policy, where)
        if number:
            rng = noise.generator(noise.Stream.INITIAL_PARAMETERS, experiment.seed, number)
            try:
                theta = policy.widen(theta, previous.sizes, rng)
            except ExperimentError as error:
                reason = str(error).removeprefix("warm_start.checkpoint: ")
                raise ExperimentError(f"{where}cannot go on from the stage before: {reason}") from error
        previous = policy
    return first


def _policy(stage: config.Experiment, env: Env) -> Policy:
    return policies.make(stage.policy, env, action_repeat=stage.environment.action_repeat)


def _check_evaluation(
    experiment: config.Experiment, stage: config.Experiment, policy: Policy, where: str
) -> None:
    scored = config.evaluation_environment(experiment)
    if scored == stage.environment:
        return
    env = envs.make(scored)
    try:
        other = _policy(stage, env)
    finally:
        env.close()
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
