"""How the joints of a human move in running: where a search for a running gait begins.

Rounded from the sagittal curves in T. F. Novacheck, "The biomechanics of running", Gait & Posture 7 (1998),
77-95. Muscles that pull weakly towards such angles do not run yet, but a search from there finds gaits with a
flight phase and an upright trunk, where one from typical values finds crouched walks, dives or hops.
"""

import numpy as np
from numpy.typing import NDArray

from es.policies.gait_weights import NUM_PARAMS, SETTINGS, waves

Array = NDArray[np.float64]

_CYCLE = (0.0, 0.1, 0.2, 0.3, 0.38, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of a stride, from one foot strike to the next of the same foot; toes leave the ground at 0.38."""
_DEGREES = {
    "hip": (38, 36, 25, 8, -3, 2, 18, 35, 46, 44),
    "knee": (-18, -36, -42, -32, -18, -45, -80, -100, -75, -30),
    "ankle": (5, 18, 25, 5, -22, -10, 0, 3, 5, 6),
}
"""Flexion of the hip, extension of the knee and dorsiflexion of the ankle at those moments."""


def parameters(phase: float) -> Array:
    """A gait whose targets are these curves, shape (NUM_PARAMS,).

    Args:
        phase: where in the stride the right leg begins, 0..1; the left one is half a stride away.
    """
    theta = np.zeros(NUM_PARAMS)
    names = [setting.name for setting in SETTINGS]
    terms = np.column_stack([np.ones(len(_CYCLE)), waves(np.array(_CYCLE) - phase)])
    for joint, degrees in _DEGREES.items():
        series, *_ = np.linalg.lstsq(terms, np.radians(degrees))
        first = names.index(f"{joint}_offset")
        for i, value in enumerate(series, start=first):
            theta[i] = (value - SETTINGS[i].typical) / SETTINGS[i].unit
    return theta
