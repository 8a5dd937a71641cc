"""From the experiment's ``[environment]`` to a Gymnasium environment. There is no interface of our own."""

from typing import Any

import gymnasium
from gymnasium import spaces

import es.envs  # noqa: F401  (registers our ids)
from es import config
from es.errors import ExperimentError

Env = gymnasium.Env[Any, Any]


def make(environment: config.Environment) -> Env:
    """Build the environment, with observations flattened to one vector where they are not.

    Raises:
        ExperimentError: there is no such environment, or it does not take these arguments.
    """
    try:
        env = gymnasium.make(environment.id, disable_env_checker=True, **environment.arguments)
    except (gymnasium.error.Error, ImportError) as error:
        raise ExperimentError(f"environment.id = {environment.id!r}: {_one_line(error)}") from error
    except (TypeError, ValueError, AssertionError) as error:
        raise ExperimentError(
            f"environment.arguments = {environment.arguments!r}: {environment.id} refuses: {_one_line(error)}"
        ) from error
    space = env.observation_space
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return env
    return gymnasium.wrappers.FlattenObservation(env)


def _one_line(error: Exception) -> str:
    # Gymnasium appends which function raised it with which arguments: those we name already.
    return " ".join(str(error).split()).partition(" was raised from the environment creator")[0]
