"""What all strategies take and what they tell about an update."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from es.perturbations import Perturbations

Array = NDArray[np.float64]
Noise = Callable[[int], NDArray[np.float32]]
"""The perturbation of a pair, or of one policy where they are independent: number -> eps, shape (dim,)."""


class Update(NamedTuple):
    """What a person wants to know about one update."""

    gradient_norm: float
    """Euclidean norm of the gradient estimate, weight decay included."""
    parameter_norm: float
    """Norm of the new centre."""
    update_ratio: float
    """Norm of the centre's change over the norm of the old one (0 / 0 counts as 0)."""


def weighted_sum(weights: Array, noise: Noise, dim: int) -> Array:
    """sum_i weights[i] eps_i, shape (dim,); equal on all machines.

    Added one by one in order of i, not by BLAS, whose order of summation depends on the machine.
    """
    if isinstance(noise, Perturbations):
        return noise.weighted_sum(weights)
    total = np.zeros(dim)
    for index in np.flatnonzero(weights):
        total += weights[index] * noise(int(index))
    return total


def describe(gradient: Array, old: Array, new: Array) -> Update:
    """The norms of an update that moved the centre from ``old`` to ``new``, all of shape (dim,)."""
    old_norm, step_norm = float(np.linalg.norm(old)), float(np.linalg.norm(new - old))
    return Update(
        gradient_norm=float(np.linalg.norm(gradient)),
        parameter_norm=float(np.linalg.norm(new)),
        update_ratio=step_norm / old_norm if old_norm else float(step_norm > 0),
    )
