"""A start in full run, for a runner who has yet to learn how to get there.

A search whose episodes begin in the middle of a motion finds what keeps it going long before it would have
found what leads there: X. B. Peng, P. Abbeel, S. Levine, M. van de Panne, "DeepMimic", ACM Trans. Graph. 37
(2018), https://arxiv.org/abs/1804.02717, "reference state initialization". Between standing and running the
start is interpolated, and a ramp leads from one to the other.

The posture is that of `es.policies.human_running` in flight, the left foot about to land; tendons are
just taut.
"""

import numpy as np

from es.envs.physics import Array

PHASE = 0.42
"""Where in the stride it is, 0..1, from one strike of the right foot to the next."""

COORDINATES = np.array([-0.1, 0.0, 0.985, -0.064, -0.407, -0.384, 0.745, -0.432, 0.101])
"""Pelvis tilt, x, y, then hip, knee, ankle of the right and the left leg; rad, m."""
SPEEDS = np.array([0.0, 4.0, -0.3, 0.27, -3.21, 0.26, -1.61, 6.76, -0.96])
"""Theirs: 4 m/s forward, at 1.45 strides a second; rad/s, m/s."""
FIBER_LENGTHS = np.array(
    [
        *(0.05, 0.125, 0.158, 0.134, 0.086, 0.098, 0.04, 0.033, 0.081),
        *(0.091, 0.125, 0.198, 0.1, 0.047, 0.099, 0.062, 0.054, 0.06),
    ]
)
"""Of the muscles, model order, m."""


def blend(standing: Array, running: Array, share: float) -> Array:
    """Where an episode begins that begins with that ``share`` of the run, 0 standing to 1 running."""
    return standing + share * (running - standing)
