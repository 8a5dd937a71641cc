"""From the experiment's ``[policy]`` to a policy for an environment's spaces."""

from typing import Any

import gymnasium

from es import config
from es.envs.gait_observation import NAMES_GAIT
from es.envs.observations import NAMES_41, NAMES_82, mirror
from es.envs.physics import MUSCLES, STEP_SECONDS
from es.errors import ExperimentError
from es.obs_norm import ObservationStatistics
from es.policies import heads
from es.policies.gait import Gait
from es.policies.gait_weights import STEERED_BY
from es.policies.mlp import MLP
from es.policies.opening import OpenedGait
from es.policies.policy import NetworkPolicy, Policy
from es.policies.residual import Residual
from es.policies.schedule import ScheduledGait
from es.policies.symmetric import NO_CLOCK, Clock, Symmetric

_LEGGED = (NAMES_41, NAMES_82, NAMES_GAIT)  # observations whose left and right are known


def make(
    policy: config.AnyPolicy,
    env: gymnasium.Env[Any, Any],
    *,
    action_repeat: int,
) -> Policy:
    """The policy for this environment, whose observations are flat vectors.

    Args:
        policy: its settings.
        env: whose spaces it has to fit.
        action_repeat: environment steps for which each action is held.

    Raises:
        ExperimentError: the policy does not fit the spaces.
    """
    shape = env.observation_space.shape
    if shape is None or len(shape) != 1:
        raise ExperimentError(f"environment.id: expected flat observations, got {env.observation_space}")
    if isinstance(policy, config.Planner):
        return _planner(policy, env, action_repeat)
    if isinstance(policy, config.Symmetric | config.Gait):
        return _legged(policy, env, action_repeat)
    head = heads.make(policy.head, env.action_space)
    if isinstance(policy, config.MLP):
        return MLP(shape[0], policy.hidden, policy.activation, head, policy.initial)
    return MLP(shape[0], (), "tanh", head)


def seen(policy: config.AnyPolicy, statistics: ObservationStatistics) -> ObservationStatistics:
    """Statistics of what the policy's network sees: a symmetric one sees mirror images as well.

    Normalised by them, an observation and its mirror image remain mirror images.
    """
    if not isinstance(policy, config.Symmetric | config.Gait):
        return statistics
    names = {len(names): names for names in _LEGGED}
    return statistics.with_mirror_images(mirror(names[statistics.mean.size]))


def _legged(
    policy: config.Symmetric | config.Gait, env: gymnasium.Env[Any, Any], action_repeat: int
) -> Policy:
    names = getattr(env.unwrapped, "observation_names", None)
    fits = env.observation_space.shape == (len(names or ()),) and env.action_space.shape == (MUSCLES,)
    kind = policy.__struct_config__.tag
    if names not in _LEGGED or not fits:
        raise ExperimentError(
            f"policy.kind = '{kind}': expected es/LearningToRun-v0, whose left and right it knows, got "
            f"{env.spec.id if env.spec else env}; use 'linear' or 'mlp'"
        )
    head = heads.make(policy.head, env.action_space)
    if isinstance(policy, config.Gait):
        if names != NAMES_GAIT:
            raise ExperimentError(
                "policy.kind = 'gait': expected environment.arguments.observation = 'gait', got "
                f"{len(names)} other values"
            )
        return _gait(policy, head, action_repeat)
    clock = NO_CLOCK
    if policy.clock_hz is not None:
        cycles = policy.clock_hz * STEP_SECONDS * action_repeat
        if policy.clock_steered and names != NAMES_GAIT:
            raise ExperimentError(
                "policy.clock_steered: expected environment.arguments.observation = 'gait', got "
                f"{len(names)} other values"
            )
        steered_by = STEERED_BY if policy.clock_steered else ()
        clock = Clock(cycles, policy.clock_harmonics, policy.clock_learned, steered_by)
    return Symmetric(mirror(names), policy.hidden, policy.activation, head, clock)


def _gait(policy: config.Gait, head: heads.Head, action_repeat: int) -> NetworkPolicy:
    seconds = STEP_SECONDS * action_repeat
    residual = Residual(policy.residual.hidden) if policy.residual else None
    gait = Gait(
        head,
        policy.clock_hz * seconds,
        reflexes=policy.reflexes,
        start=policy.start,
        residual=residual,
    )
    whole = OpenedGait(gait, round(policy.opening / seconds)) if policy.opening else gait
    return ScheduledGait(whole, policy.strengths) if policy.strengths else whole


def _planner(policy: config.Planner, env: gymnasium.Env[Any, Any], action_repeat: int) -> Policy:
    from es.policies.planner import Planner  # only hosts that plan need the twin

    task: Any = env.unwrapped
    if getattr(task, "observation_names", None) != NAMES_41:
        raise ExperimentError(
            "policy.kind = 'planner': expected es/LearningToRun-v0 with environment.arguments.observation = "
            f"'41', got {env.spec.id if env.spec else env} with {env.observation_space.shape} values"
        )
    gait = _gait(policy.gait, heads.make(policy.gait.head, env.action_space), action_repeat)
    return Planner(gait, policy, action_repeat, task.rules().max_steps)
