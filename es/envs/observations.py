"""The 41 values of the 2017 challenge and the 82 values learning2run made of them.

SI units and radians; x points forward, y up; positions are those of body frame origins.

The 41 values (osim-rl 1.5; note right before left in 6..17, left before right in 28..35):

| index  | meaning                                                       | unit  |
|--------|---------------------------------------------------------------|-------|
| 0      | pelvis tilt                                                   | rad   |
| 1, 2   | pelvis x, y                                                   | m     |
| 3      | pelvis tilt rate                                              | rad/s |
| 4, 5   | pelvis velocity x, y                                          | m/s   |
| 6..11  | joint angles: hip_r, knee_r, ankle_r, hip_l, knee_l, ankle_l  | rad   |
| 12..17 | their rates                                                   | rad/s |
| 18, 19 | centre of mass x, y, obstacles included                       | m     |
| 20, 21 | its velocity x, y                                             | m/s   |
| 22, 23 | head x, y                                                     | m     |
| 24, 25 | pelvis x, y once more                                         | m     |
| 26, 27 | torso x, y                                                    | m     |
| 28, 29 | toes_l x, y                                                   | m     |
| 30, 31 | toes_r x, y                                                   | m     |
| 32, 33 | talus_l x, y                                                  | m     |
| 34, 35 | talus_r x, y                                                  | m     |
| 36, 37 | "left psoas" (really left gluteus), right psoas strength      | -     |
| 38     | next obstacle: centre x minus pelvis x (100: none)            | m     |
| 39, 40 | its centre y and visible radius                               | m     |

The 82 values (learning2run; see `RelativeObservation`), each scaled to the order of 1. S marks values
compressed to sign(z) sqrt(|z|):

| index  | meaning                                                                                        |
|--------|------------------------------------------------------------------------------------------------|
| 0..5   | pelvis as 0..5 above (3..5 S)                                                                   |
| 6..11  | joint angles minus pelvis tilt (S)                                                             |
| 12..17 | joint rates minus pelvis tilt rate (S)                                                         |
| 18..21 | centre of mass relative to the pelvis: position, velocity (velocity S)                          |
| 22..33 | head, torso, toes_l, toes_r, talus_l, talus_r relative to the pelvis: x, y each                 |
| 34, 35 | strengths, "left" and right                                                                    |
| 36..38 | obstacle behind: nearness weight (0 if far), weight times height, weight times radius           |
| 39..41 | obstacle ahead: the same                                                                       |
| 42..53 | velocities of the bodies of 22..33 relative to the pelvis, from position differences (S)        |
| 54..56 | change over one step of the pelvis rates 3..5 (S)                                               |
| 57..62 | change of 12..17 less that of the pelvis (S)                                                    |
| 63, 64 | change of 20, 21 less that of the pelvis (S)                                                    |
| 65..76 | change of 42..53 less that of the pelvis (S)                                                    |
| 77..80 | closeness of toes_l, toes_r, talus_l, talus_r to the ground: 1 at y = 0, -1 from 0.1 m upwards   |
| 81     | progress s/(1+|s|), where s is pelvis x minus 28 m                                              |
"""

import numpy as np
from numpy.typing import NDArray

from es.envs.physics import STEP_SECONDS, Array

KINEMATIC_VALUES = 36

_JOINTS = tuple(f"{joint}_{side}" for side in "rl" for joint in ("hip", "knee", "ankle"))
_BODIES = ("head", "torso", "toes_l", "toes_r", "talus_l", "talus_r")


def _xy(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{axis}" for name in names for axis in "xy")


NAMES_41 = (
    *("pelvis_tilt", "pelvis_x", "pelvis_y", "pelvis_tilt_rate", "pelvis_vx", "pelvis_vy"),
    *_JOINTS,
    *(f"{joint}_rate" for joint in _JOINTS),
    *_xy("mass_center", "mass_center_v", "head", "pelvis_again", *_BODIES[1:]),
    *("strength_l", "strength_r", "obstacle_dx", "obstacle_y", "obstacle_radius"),
)
"""Names of the 41 values."""

NAMES_82 = (
    *NAMES_41[:24],
    *_xy(*_BODIES[1:]),
    *("strength_l", "strength_r"),
    *(f"obstacle_{place}_{value}" for place in ("behind", "ahead") for value in ("near", "y", "radius")),
    *_xy(*(f"{body}_v" for body in _BODIES)),
    *("pelvis_tilt_change", "pelvis_vx_change", "pelvis_vy_change"),
    *(f"{joint}_change" for joint in _JOINTS),
    *_xy("mass_center_v_change", *(f"{body}_v_change" for body in _BODIES)),
    *(f"{body}_ground" for body in _BODIES[2:]),
    "progress",
)
"""Names of the 82 values; ``..._change`` is of a velocity or rate over one step."""


def mirror(names: tuple[str, ...]) -> NDArray[np.intp]:
    """Indices that exchange left and right: ``values[mirror(names)]`` is what the runner's mirror image sees.

    The runner moves in the plane that it is mirrored at, so no value changes its sign.

    Args:
        names: `NAMES_41` or `NAMES_82`. Their strengths are exchanged too, although the "left psoas" is
            really the left gluteus maximus.
    """
    other = {"l": "r", "r": "l"}
    partners = ("_".join(other.get(part, part) for part in name.split("_")) for name in names)
    return np.array([names.index(partner) for partner in partners], dtype=np.intp)


BODY_MASS = 79.6646
OBSTACLE_MASS = 1e-4

# The 82 values are (value - shift) / scale, then compressed where rooted; 36..41 and 54..81 have their final
# scale already.
SHIFT = np.zeros(82)
SHIFT[2:6] = 0.9, 0.3, 1.0, 0.3
SHIFT[18:20] = -0.14, 0.07
SHIFT[22:34] = -0.15, 0.61, -0.10, 0.08, *(-0.1, -0.9) * 4
SHIFT[34:36] = 1.0
SCALE = np.ones(82)
SCALE[1:3] = 100.0, 0.1
SCALE[12:18] = 5.0
SCALE[18:20] = 0.05, 0.03
SCALE[22:34] = 0.25, 0.02, 0.02, 0.02, *(1.0, 0.3) * 4
SCALE[34:36] = 0.2
SCALE[46:54:2] = 2.5**2
ROOTED = np.r_[3:18, 20:22, 42:54]
STEP_CHANGE_SCALE = np.array([1.0, 0.6])

_OBSTACLE_BEHIND = (-2.0, 0.0, 0.1)
_OBSTACLE_AHEAD = (2.0, 0.0, 0.1)
NOTHING_AHEAD = 100.0


def add_obstacle_masses(kinematics: Array, spheres: Array) -> Array:
    """Include the resting obstacles in the centre of mass (18, 19) and its velocity (20, 21).

    In 2017 each obstacle was a body of 1e-4 kg on locked joints, and the model's centre of mass counted it.

    Args:
        kinematics: shape (36,), entries 0..35 without obstacles.
        spheres: shape (k, 3), all spheres of the model, parked ones too.

    Returns:
        A new array of shape (36,).
    """
    total = BODY_MASS + OBSTACLE_MASS * len(spheres)
    result = kinematics.copy()
    result[18:20] = (BODY_MASS * kinematics[18:20] + OBSTACLE_MASS * spheres[:, :2].sum(axis=0)) / total
    result[20:22] *= BODY_MASS / total
    return result


class RelativeObservation:
    """Turns the 41 values of successive steps into learning2run's 82.

    Velocities and accelerations are differences to the previous vector, so the object remembers it, and the
    obstacle that was passed last. Quirks of the original that trained policies know, kept here: changes of
    velocity are not divided by the time step and subtract the pelvis a second time; the obstacle of an
    episode's first observation is ignored; ground closeness uses body frames, not the contact spheres.

    Args:
        carry_over: learning2run never cleared the previous vector, so the second and later episodes began
            with bogus velocities: the difference to the last state of the episode before. True repeats that,
            for literal replay.
    """

    def __init__(self, *, carry_over: bool = False) -> None:
        self._carry_over = carry_over
        self._previous: Array | None = None
        self._obstacles = _ObstacleMemory()

    def reset(self) -> None:
        """Start a new episode."""
        if not self._carry_over:
            self._previous = None
        self._obstacles = _ObstacleMemory()

    def __call__(self, observation: Array) -> Array:
        """Take the next observation of the episode, shape (41,), and return the 82 values, shape (82,)."""
        values = _relative_to_pelvis(observation)
        previous = values.copy() if self._previous is None else self._previous
        velocity = values[4:6]

        values[36:42] = self._obstacles.see(observation[38:41], pelvis_dx=values[1] - previous[1])

        moved = _pairs(values[22:34]) + values[1:3] - (_pairs(previous[22:34]) + previous[1:3])
        _pairs(values[42:54])[:] = moved / STEP_SECONDS - velocity

        pelvis_change = values[3:6] - previous[3:6]
        values[54:57] = _compress(pelvis_change)
        values[57:63] = _compress((values[12:18] - previous[12:18] - pelvis_change[0]) / 4)
        values[63:65] = _compress(values[20:22] - previous[20:22] - pelvis_change[1:])
        change = _pairs(values[42:54]) - _pairs(previous[42:54]) - pelvis_change[1:]
        _pairs(values[65:77])[:] = _compress(change) / STEP_CHANGE_SCALE

        heights = values[27:34:2] + values[2]
        values[77:81] = np.maximum(1 - 20 * heights, -1)
        to_go = values[1] - 28
        values[81] = to_go / (1 + abs(to_go))

        self._previous = values
        result: Array = (values - SHIFT) / SCALE
        result[ROOTED] = _compress(result[ROOTED])
        return result


class _ObstacleMemory:
    """The obstacle passed last and the next one, each as x relative to the pelvis, y and radius (m)."""

    def __init__(self) -> None:
        self._behind = _OBSTACLE_BEHIND
        self._ahead = _OBSTACLE_AHEAD
        self._step = 0

    def see(self, seen: Array, pelvis_dx: float) -> Array:
        """Take the obstacle of the next observation and the pelvis' way since; return both weighted, (6,)."""
        self._step += 1
        if self._step == 2:
            self._ahead = _triple(seen)
        elif self._step > 2:
            self._advance(_triple(seen), float(pelvis_dx))
        return np.array(_weighted(self._behind) + _weighted(self._ahead))

    def _advance(self, seen: tuple[float, float, float], pelvis_dx: float) -> None:
        if seen[1:] != self._ahead[1:]:
            self._behind = self._ahead
            self._ahead = (-2.0, *seen[1:]) if seen[0] == NOTHING_AHEAD else seen
        else:
            self._ahead = (self._ahead[0] - pelvis_dx, *self._ahead[1:])
        # The original moves an obstacle that was passed just now as well.
        self._behind = (self._behind[0] - pelvis_dx, *self._behind[1:])


def _triple(values: Array) -> tuple[float, float, float]:
    x, y, radius = values.tolist()
    return x, y, radius


def _weighted(obstacle: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, radius = obstacle
    weight = 5 / 6 - x / 3 if -0.5 < x < 2.5 else 0.0
    return weight, weight * y / 0.14433756729740643, weight * (radius - 0.1) / 0.05


def _relative_to_pelvis(observation: Array) -> Array:
    """The 82-vector before any history: entries 0..35 filled, the rest zero."""
    values = np.zeros(82)
    values[:6] = observation[:6]
    values[6:12] = observation[6:12] - observation[0]
    values[12:18] = observation[12:18] - observation[3]
    values[18:20] = observation[18:20] - observation[1:3]
    values[20:22] = observation[20:22] - observation[4:6]
    values[22:24] = observation[22:24] - observation[1:3]
    _pairs(values[24:34])[:] = _pairs(observation[26:36]) - observation[1:3]
    values[34:36] = observation[36:38]
    return values


def _pairs(values: Array) -> Array:
    """A view of x, y, x, y, ... as rows of (x, y)."""
    return values.reshape(-1, 2)


def _compress(values: Array) -> Array:
    return np.copysign(np.sqrt(np.abs(values)), values)
