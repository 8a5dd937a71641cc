"""What every strategy reports of an update."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Noise = Callable[[int], NDArray[np.float32]]
"""From the index of a perturbation to its eps, standard normal, shape (dim,)."""


class Update(NamedTuple):
    """What a person wants to know about one update."""

    gradient_norm: float
    """Euclidean norm of the estimated gradient, weight decay included."""
    parameter_norm: float
    """Norm of the new theta."""
    update_ratio: float
    """Norm of the change of theta over the norm of the old theta (0 / 0 counts as 0)."""


def between(old: Array, new: Array, gradient: Array) -> Update:
    """The record of the step from ``old`` to ``new``, all of shape (dim,)."""
    old_norm, step_norm = float(np.linalg.norm(old)), float(np.linalg.norm(new - old))
    return Update(
        gradient_norm=float(np.linalg.norm(gradient)),
        parameter_norm=float(np.linalg.norm(new)),
        update_ratio=step_norm / old_norm if old_norm else float(step_norm > 0),
    )
