"""The obstacle course and muscle strengths of the 2017 challenge, drawn exactly as in osim-rl 1.5.

Two behaviours of the original are kept because published policies were trained with them:

- The "left psoas" factor is applied to muscle 11, which is the left *gluteus maximus* (the left iliopsoas
  is muscle 12). The right factor reaches the right iliopsoas, muscle 3, as intended.
- The drawn radius is what the runner sees, not what it hits: see `spheres`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import RandomState

from es.envs.physics import MUSCLES, Array

RIGHT_PSOAS = 3
LEFT_PSOAS = 11  # really the left gluteus maximus, as in 2017

LITERAL_RADIUS = 0.1
PARKED = (0.0, -0.1, LITERAL_RADIUS)
NO_OBSTACLE = (100.0, 0.0, 0.0)


@dataclass(frozen=True)
class Course:
    """What one episode is run on.

    Attributes:
        obstacles: shape (k, 3); centre x, centre y and *visible* radius in metres, ascending in x.
        strengths: shape (18,); factors on each muscle's maximum isometric force, model order.
    """

    obstacles: Array
    strengths: Array


def generate_course(random: RandomState, difficulty: int, max_obstacles: int) -> Course:
    """Draw a course the way osim-rl 1.5 does from a legacy NumPy stream.

    Args:
        random: a legacy stream; ``RandomState(seed)`` gives the course of 2017's ``reset(seed=seed)``.
        difficulty: 0 draws nothing, 1 obstacles, 2 (and above) also muscle strengths.
        max_obstacles: number of obstacles; the first three are spread over [1, 5) m, each further one
            lies 2 to 4 m behind the one before. More than 20 are never drawn.
    """
    near = min(3, max_obstacles)
    far = min(20, max_obstacles) - near
    columns = []
    if difficulty > 0:
        columns.append(_draw(random, near, x_range=(1, 5), y_range=(-0.25, 0.25)))
        if far:
            x, y, radius = _draw(random, far, x_range=(2, 4), y_range=(-0.05, 0.25))
            columns.append((5 + np.cumsum(x), y, radius))
    rows = [obstacle for column in columns for obstacle in zip(*column, strict=True)]

    strengths = np.ones(MUSCLES)
    if difficulty >= 2:
        for muscle in (RIGHT_PSOAS, LEFT_PSOAS):
            strengths[muscle] = max(0.5, 1 - random.normal(0, 0.1))
    return Course(np.array(sorted(rows), dtype=np.float64).reshape(-1, 3), strengths)


def _draw(
    random: RandomState, count: int, x_range: tuple[float, float], y_range: tuple[float, float]
) -> tuple[Array, Array, Array]:
    x = random.uniform(*x_range, count)
    y_factor = random.uniform(*y_range, count)
    radius = 0.05 + random.exponential(0.05, count)
    return x, y_factor * radius, radius


def next_obstacle(obstacles: Array, pelvis_x: float) -> tuple[float, float, float]:
    """The first obstacle not yet passed, in the order given.

    Returns:
        Centre x relative to the pelvis, centre y above the ground and radius (m); 100, 0, 0 if all are
        passed. An obstacle is passed when its far side lies strictly behind the pelvis.
    """
    for x, y, radius in obstacles.tolist():
        if x + radius >= pelvis_x:
            return x - pelvis_x, y, radius
    return NO_OBSTACLE


def spheres(obstacles: Array, physics: str, max_obstacles: int) -> Array:
    """The solid spheres that stand for a course.

    Args:
        obstacles: shape (k, 3), with visible radii.
        physics: "literal" is what 2017's code did: its ``setRadius`` came too late to reach the simulator,
            so every sphere has radius 0.1 m, and spheres without an obstacle stay where they were created,
            just below the start, where the soft ground lets the toes touch them. "intended" is what the
            task's description says: the visible radius is the solid one and nothing is parked.
        max_obstacles: number of spheres the 2017 model would own.

    Returns:
        Shape (m, 3): centre x, centre y and physical radius in metres.
    """
    if physics == "intended":
        return obstacles.copy()
    solid = np.array(obstacles)
    solid[:, 2] = LITERAL_RADIUS
    parked = [PARKED] * max(0, max_obstacles - len(obstacles))
    return np.concatenate([solid, np.array(parked).reshape(-1, 3)])
