"""From the experiment's ``[policy]`` to a policy for an environment's spaces."""

from typing import Any

import gymnasium

from es import config
from es.errors import ExperimentError
from es.policies import heads
from es.policies.mlp import MLP


def make(policy: config.Linear | config.MLP, env: gymnasium.Env[Any, Any]) -> MLP:
    """The policy for this environment, whose observations are flat vectors.

    Raises:
        ExperimentError: the policy does not fit the spaces.
    """
    shape = env.observation_space.shape
    if shape is None or len(shape) != 1:
        raise ExperimentError(f"environment.id: expected flat observations, got {env.observation_space}")
    head = heads.make(policy.head, env.action_space)
    if isinstance(policy, config.MLP):
        return MLP(shape[0], policy.hidden, policy.activation, head)
    return MLP(shape[0], (), "tanh", head)
