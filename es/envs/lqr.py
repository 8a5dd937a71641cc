"""A toy whose best possible return is known in closed form: the linear quadratic regulator.

A point mass on a line, x = (position m, velocity m/s), pushed by a force u (N, mass 1 kg):

    x' = A x + B u        reward = -(x^T Q x + u^T R u)

The optimal feedback is linear, u = -K x (Bertsekas, "Dynamic programming and optimal control", vol. 1,
section 3.1), so a linear policy can reach the optimum and a correct training system has to.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Array = NDArray[np.float64]

DT = 0.1  # s
A = np.array([[1.0, DT], [0.0, 1.0]])
B = np.array([[0.0], [DT]])
Q = np.eye(2)
R = np.array([[0.1]])


class LQR(gymnasium.Env[Array, Array]):
    """Start at a random position and velocity, come to rest at the origin with little force.

    Args:
        horizon: steps per episode, at least 1.
    """

    def __init__(self, horizon: int = 100) -> None:
        if horizon < 1:
            raise ValueError(f"expected a horizon of at least 1 step, got {horizon}")
        self.horizon = horizon
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self._x = np.zeros(2)
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Draw position and velocity from a standard normal distribution."""
        super().reset(seed=seed)
        self._x = self.np_random.standard_normal(2)
        self._steps = 0
        return self._x.copy(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Apply the force for one step of 0.1 s; the reward is of the state before it."""
        u = np.asarray(action, dtype=np.float64).reshape(1)
        reward = -float(self._x @ Q @ self._x + u @ R @ u)
        self._x = A @ self._x + B @ u
        self._steps += 1
        return self._x.copy(), reward, False, self._steps >= self.horizon, {}


def optimal_return(x0: Array, horizon: int = 100) -> float:
    """The largest return any controller reaches from ``x0``, shape (2,), in ``horizon`` steps."""
    P = np.zeros((2, 2))  # noqa: N806  (the textbook's symbol)
    for _ in range(horizon):
        K = np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)  # noqa: N806
        P = Q + K.T @ R @ K + (A - B @ K).T @ P @ (A - B @ K)  # noqa: N806
    return -float(x0 @ P @ x0)
