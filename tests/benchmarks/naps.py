"""An environment whose episodes only take time, for benchmarks of everything else.

``tests.benchmarks.naps:Naps-v0`` sleeps ``seconds`` per episode.
"""

import time
from typing import Any

import gymnasium
import numpy as np


class Naps(gymnasium.Env[Any, Any]):
    """One action, one step."""

    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def __init__(self, seconds: float = 0.0, observations: int = 1, **ignored: Any) -> None:
        self._seconds = seconds
        self.observation_space = gymnasium.spaces.Box(-1, 1, (observations,))

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        return np.zeros(self.observation_space.shape, dtype=np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._seconds:  # sleeping for no time takes longer than everything else here
            time.sleep(self._seconds)
        return (
            np.zeros(self.observation_space.shape, dtype=np.float32),
            float(np.sum(action)),
            True,
            False,
            {},
        )


gymnasium.register("Naps-v0", Naps)
