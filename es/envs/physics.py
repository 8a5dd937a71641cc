"""The small interface between the Learning to Run task and whatever computes its physics."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MUSCLES = 18
STEP_SECONDS = 0.01


class Physics(Protocol):
    """A planar runner with 18 muscles among spherical obstacles, advanced in steps of 0.01 s."""

    def reset(self, obstacles: Array, strengths: Array, running: float = 0.0) -> None:
        """Stand at the start in the model file's default state, or run there.

        Args:
            obstacles: shape (k, 3), centre x, centre y and *physical* radius of each sphere in metres.
            strengths: shape (18,), factors on each muscle's maximum isometric force, model order.
            running: how much of a run the episode begins with, 0..1 (`es.envs.running_start`).
        """

    def step(self, excitations: Array) -> None:
        """Advance 0.01 s with constant excitations, shape (18,), each in [0, 1].

        Raises:
            SimulationError: the integrator failed, returned early or produced NaN.
        """

    def kinematics(self) -> Array:
        """Observation entries 0..35 (``observations.py``), centre of mass without obstacles; shape (36,)."""

    def limit_torque_square_sum(self) -> float:
        """Sum over the six leg joints of the squared coordinate limit torque, (N m)^2."""

    def activations(self) -> Array:
        """Muscle activations after the last step or reset, shape (18,), each in [0, 1], model order."""
