"""What a gait controller wants to know, made of the 41 values: relative, scaled, each leg's values beside it.

Meant for `symmetric` policies, which give each leg its own values first and the other's second. All values
are of the order of 1; lengths in m, angles in rad and speeds in m/s or rad/s before the given factors. The
two obstacles it knows of are the one ahead and the one passed last, which the trailing foot still has to
clear. A *bump* at c of width w is (1 - ((d - c) / w)^2)^2 of the obstacle's distance d where that is within w
of c, and 0 elsewhere, times ten times the obstacle's height above the ground (centre + 0.1 m, at least 0);
those of the two obstacles are added.

| values           | meaning                                                                                |
|------------------|----------------------------------------------------------------------------------------|
| pelvis           | tilt, tilt rate / 5, (height - 0.9) x 5, forward and upward velocity                   |
| obstacle_0..3    | bumps of the obstacles' distance ahead of the pelvis, at 0, 0.4, 0.8, 1.2, of width 0.4|
| hip, knee, ankle | joint angles, and their rates / 5                                                      |
| foot_height      | of the lower of toes and ankle - 0.04, times 5                                         |
| foot_x           | ankle ahead of the pelvis                                                              |
| strength         | (factor on the psoas - 1) x 5, as observed                                             |
| stance           | 1 with the foot on the ground, 0 from 0.03 above it, linear between                    |
| stance_...       | stance times tilt, tilt rate / 5, hip angle, forward velocity, knee angle              |
| foot_obstacle_.. | bumps of the obstacles' distance ahead of the toes, at -0.15, 0.1, 0.35, of width 0.25 |
| swing_obstacle_..| the same and one at 0.75 of width 0.4, times (1 - stance)                              |
| step_obstacle_.. | stance times bumps ahead of the toes, at 0, 0.25, ... 1.75, of width 0.35               |
| reach_obstacle_..| (1 - stance) times the other foot's step_obstacle_                                     |
"""

import numpy as np

from es.envs.physics import Array

PELVIS_BUMPS = (0.0, 0.4, 0.8, 1.2)
PELVIS_WIDTH = 0.4
FOOT_BUMPS = (-0.15, 0.1, 0.35)
FOOT_WIDTH = 0.25
STRIDE_BUMP = 0.75
STRIDE_WIDTH = 0.4
STEP_BUMPS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
STEP_WIDTH = 0.35

_LEG = (
    *("hip", "knee", "ankle", "hip_rate", "knee_rate", "ankle_rate", "foot_height", "foot_x", "strength"),
    *("stance", "stance_tilt", "stance_tilt_rate", "stance_hip", "stance_vx", "stance_knee"),
    *(f"foot_obstacle_{i}" for i in range(len(FOOT_BUMPS))),
    *(f"swing_obstacle_{i}" for i in range(len(FOOT_BUMPS) + 1)),
    *(f"step_obstacle_{i}" for i in range(len(STEP_BUMPS))),
    *(f"reach_obstacle_{i}" for i in range(len(STEP_BUMPS))),
)
SHARED_VALUES = 5 + len(PELVIS_BUMPS)
LEG_VALUES = len(_LEG)

NAMES_GAIT = (
    *("pelvis_tilt", "pelvis_tilt_rate", "pelvis_height", "pelvis_vx", "pelvis_vy"),
    *(f"obstacle_{i}" for i in range(len(PELVIS_BUMPS))),
    *(f"{name}_{side}" for side in "rl" for name in _LEG),
)
"""Names of the values."""

Obstacle = tuple[float, float, float]
"""x, y, visible radius, m."""
NOWHERE: Obstacle = (-100.0, 0.0, 0.0)


class GaitObservation:
    """Turns the 41 values of successive steps into the values above; remembers the obstacle passed last."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start a new episode."""
        self._behind = self._ahead = NOWHERE

    @property
    def remembered(self) -> tuple[Obstacle, Obstacle]:
        """The obstacle passed last and the one ahead; ``NOWHERE`` if there was none."""
        return self._behind, self._ahead

    def __call__(self, observation: Array) -> Array:
        """Take the next observation of the episode, shape (41,), and return the values."""
        tilt, pelvis_x, height, tilt_rate, vx, vy = observation[:6].tolist()
        seen = (pelvis_x + float(observation[38]), float(observation[39]), float(observation[40]))
        if seen[1:] != self._ahead[1:]:
            self._behind, self._ahead = self._ahead, seen
        values = [tilt, tilt_rate / 5, (height - 0.9) * 5, vx, vy]
        values += self._bumps(pelvis_x, PELVIS_BUMPS, PELVIS_WIDTH)
        for leg in range(2):
            hip, knee, ankle = observation[6 + 3 * leg : 9 + 3 * leg].tolist()
            rates = (observation[12 + 3 * leg : 15 + 3 * leg] / 5).tolist()
            left_first = 2 * (1 - leg)
            toes_x, toes_y = observation[28 + left_first : 30 + left_first].tolist()
            talus_x, talus_y = observation[32 + left_first : 34 + left_first].tolist()
            strength = float(observation[37 - leg])
            foot_height = min(toes_y, talus_y - 0.04)
            stance = min(max((0.03 - foot_height) / 0.03, 0.0), 1.0)
            values += [hip, knee, ankle, *rates, foot_height * 5, talus_x - pelvis_x, (strength - 1) * 5]
            values += [
                stance,
                stance * tilt,
                stance * (tilt_rate / 5),
                stance * hip,
                stance * vx,
                stance * knee,
            ]
            before_toes = self._bumps(toes_x, FOOT_BUMPS, FOOT_WIDTH)
            in_stride = self._bumps(toes_x, (STRIDE_BUMP,), STRIDE_WIDTH)
            values += before_toes + [(1 - stance) * bump for bump in before_toes + in_stride]
            steps = self._bumps(toes_x, STEP_BUMPS, STEP_WIDTH)
            values += [stance * bump for bump in steps] + [1 - stance] * len(steps)
        return _reach(np.array(values))

    def _bumps(self, x: float, centers: tuple[float, ...], width: float) -> list[float]:
        return [
            _bump(self._ahead, x + center, width) + _bump(self._behind, x + center, width)
            for center in centers
        ]


def _reach(values: Array) -> Array:
    """Multiply each leg's last values by the other leg's step_obstacle."""
    steps = len(STEP_BUMPS)
    right, left = SHARED_VALUES + LEG_VALUES, SHARED_VALUES + 2 * LEG_VALUES
    values[right - steps : right] *= values[left - 2 * steps : left - steps]
    values[left - steps : left] *= values[right - 2 * steps : right - steps]
    return values


def _bump(obstacle: tuple[float, float, float], x: float, width: float) -> float:
    z = (obstacle[0] - x) / width
    rest = 1 - z * z
    return rest * rest * (max(obstacle[1] + 0.1, 0.0) * 10) if rest > 0 else 0.0
