"""Gaits as policies of the runner on the compiled twin."""

from es import config
from es.envs import registry as envs
from es.policies import registry as policies
from es.policies.policy import Policy

HEAD = config.Squashed(bias=-2.0, floor=0.05)


def policy_of(settings: config.AnyPolicy) -> Policy:
    arguments = {"backend": "native", "observation": "gait"}
    env = envs.make(config.Environment(id="es/LearningToRun-v0", arguments=arguments))
    return policies.make(settings, env, action_repeat=2)
