"""How deep the feet come into obstacles, which the twin's compiled rollout asks too (same code, compiled).

A foot has two contact spheres of radius 0.05 m, at heel and toes, 0.09 m beside the plane in which the
obstacles' centres lie. So where an obstacle is a sphere of 0.1 m, their centres have to stay 0.118 m away.
"""

import math

from es.envs.physics import Array

MARGIN = 0.02
"""Around an obstacle, m: a foot that comes so close counts as touching."""

TOES = (0.13003, -0.04395)
"""Origin of the toes' frame in the ankle's, forward and upward, m."""

SPHERES = ((-0.01877, -0.00195, 0.09142), (0.16003, -0.00395, 0.0925))
"""Heel and toe: centre in the ankle's frame, forward and upward, and distance from the plane, m."""

SPHERE_RADIUS = 0.05

_LENGTH_SQUARE = TOES[0] * TOES[0] + TOES[1] * TOES[1]


def deepen(observation: Array, obstacles: Array, deepest: Array) -> float:
    """How much deeper the feet are in the obstacles, or their margins, than they ever were, m, summed.

    Over an episode these sums add up to the depth of each foot in each obstacle at its worst, whether the
    foot brushes it or stands on it for long.

    Args:
        observation: the 41 values (`es.envs.observations`).
        obstacles: shape (k, 3), centre x, centre y and radius, m.
        deepest: shape (k, 2), of each obstacle and the left and the right foot, m; 0 at first, updated.
    """
    total = 0.0
    for leg in range(2):
        x, y = observation[32 + 2 * leg], observation[33 + 2 * leg]
        toes_x, toes_y = observation[28 + 2 * leg] - x, observation[29 + 2 * leg] - y
        cos = (toes_x * TOES[0] + toes_y * TOES[1]) / _LENGTH_SQUARE
        sin = (toes_y * TOES[0] - toes_x * TOES[1]) / _LENGTH_SQUARE
        for forward, upward, aside in SPHERES:
            sphere_x, sphere_y = x + (cos * forward - sin * upward), y + (sin * forward + cos * upward)
            for k in range(len(obstacles)):
                dx, dy = sphere_x - obstacles[k, 0], sphere_y - obstacles[k, 1]
                reach = obstacles[k, 2] + SPHERE_RADIUS + MARGIN
                square = dx * dx + dy * dy + aside * aside
                if square < reach * reach:
                    depth = reach - math.sqrt(square)
                    if depth > deepest[k, leg]:
                        total += depth - deepest[k, leg]
                        deepest[k, leg] = depth
    return total
