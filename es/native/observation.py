"""The observations of `es.envs`, compiled; those files say what the values mean; these must equal them.

Everything here rounds as numpy does, operation by operation.
"""

import math

import numpy as np

from es.envs import gait_observation as gait
from es.envs import observations as relative
from es.envs.physics import STEP_SECONDS
from es.native.compile import inlined_rounded, rounded
from es.native.model import Array

BASIC, RELATIVE, GAIT = range(3)
"""Codes: the 41 values, the 82, those of `es.envs.gait_observation`."""

# Entries of the memory: the obstacle passed last and the one ahead, each x, y, radius; steps so far; from
# PREVIOUS on, the last 82 values before scaling.
_BEHIND, _AHEAD, _STEPS, _PREVIOUS = 0, 3, 6, 7
MEMORY = _PREVIOUS + 82

_SHIFT, _SCALE = relative.SHIFT.copy(), relative.SCALE.copy()
_ROOTED = relative.ROOTED.copy()
_ACCELERATION_SCALE = (float(relative.STEP_CHANGE_SCALE[0]), float(relative.STEP_CHANGE_SCALE[1]))
_NOTHING_AHEAD = relative.NOTHING_AHEAD
_NOWHERE = gait.NOWHERE[0]
_PELVIS_BUMPS, _PELVIS_WIDTH = gait.PELVIS_BUMPS, gait.PELVIS_WIDTH
_FOOT_BUMPS, _FOOT_WIDTH = gait.FOOT_BUMPS, gait.FOOT_WIDTH
_STRIDE_BUMP, _STRIDE_WIDTH = gait.STRIDE_BUMP, gait.STRIDE_WIDTH
_STEP_BUMPS, _STEP_WIDTH = gait.STEP_BUMPS, gait.STEP_WIDTH
_SHARED, _LEG = gait.SHARED_VALUES, gait.LEG_VALUES


@rounded
def forget(kind: int, memory: Array) -> None:
    """Start a new episode."""
    memory[:] = 0.0
    if kind == RELATIVE:
        memory[_BEHIND], memory[_BEHIND + 2] = -2.0, 0.1
        memory[_AHEAD], memory[_AHEAD + 2] = 2.0, 0.1
    else:
        memory[_BEHIND] = memory[_AHEAD] = _NOWHERE


def remembering(behind: gait.Obstacle, ahead: gait.Obstacle) -> Array:
    """What is remembered after one step among these obstacles, each x, y, radius, by the gait observation."""
    memory = np.zeros(MEMORY)
    memory[_BEHIND : _BEHIND + 3], memory[_AHEAD : _AHEAD + 3] = behind, ahead
    return memory


@rounded
def present(kind: int, basic: Array, memory: Array, out: Array) -> None:
    """Write the observation of a kind, made of the 41 values of this step and what is remembered."""
    if kind == BASIC:
        out[:] = basic
    elif kind == RELATIVE:
        _relative(basic, memory, out)
    else:
        _gait(basic, memory, out)


@inlined_rounded
def _compress(x: float) -> float:
    return math.copysign(math.sqrt(abs(x)), x)


@rounded
def _relative(basic: Array, memory: Array, out: Array) -> None:
    """See `es.envs.observations.RelativeObservation`."""
    previous = memory[_PREVIOUS:]
    values = out
    values[:] = 0.0
    for i in range(6):
        values[i] = basic[i]
        values[6 + i] = basic[6 + i] - basic[0]
        values[12 + i] = basic[12 + i] - basic[3]
    for axis in range(2):
        pelvis, speed = basic[1 + axis], basic[4 + axis]
        values[18 + axis] = basic[18 + axis] - pelvis
        values[20 + axis] = basic[20 + axis] - speed
        values[22 + axis] = basic[22 + axis] - pelvis
        for body in range(5):
            values[24 + 2 * body + axis] = basic[26 + 2 * body + axis] - pelvis
    values[34], values[35] = basic[36], basic[37]
    if memory[_STEPS] == 0.0:
        previous[:] = values

    _remember_relative(basic[38:41], values[1] - previous[1], memory)
    _weigh(memory[_BEHIND:], values[36:])
    _weigh(memory[_AHEAD:], values[39:])

    for body in range(6):
        for axis in range(2):
            k = 2 * body + axis
            moved = values[22 + k] + values[1 + axis] - (previous[22 + k] + previous[1 + axis])
            values[42 + k] = moved / STEP_SECONDS - values[4 + axis]
            change = values[42 + k] - previous[42 + k] - (values[4 + axis] - previous[4 + axis])
            values[65 + k] = _compress(change) / _ACCELERATION_SCALE[axis]
    for i in range(3):
        values[54 + i] = _compress(values[3 + i] - previous[3 + i])
    for i in range(6):
        change = values[12 + i] - previous[12 + i] - (values[3] - previous[3])
        values[57 + i] = _compress(change / 4.0)
    for axis in range(2):
        change = values[20 + axis] - previous[20 + axis] - (values[4 + axis] - previous[4 + axis])
        values[63 + axis] = _compress(change)
    for i in range(4):
        values[77 + i] = max(1.0 - 20.0 * (values[27 + 2 * i] + values[2]), -1.0)
    to_go = values[1] - 28.0
    values[81] = to_go / (1.0 + abs(to_go))

    previous[:] = values
    for i in range(82):
        values[i] = (values[i] - _SHIFT[i]) / _SCALE[i]
    for i in _ROOTED:
        values[i] = _compress(values[i])


@rounded
def _remember_relative(seen: Array, pelvis_dx: float, memory: Array) -> None:
    """See `es.envs.observations._ObstacleMemory`."""
    behind, ahead = memory[_BEHIND : _BEHIND + 3], memory[_AHEAD : _AHEAD + 3]
    memory[_STEPS] += 1.0
    if memory[_STEPS] == 2.0:
        ahead[:] = seen
    elif memory[_STEPS] > 2.0:
        if seen[1] != ahead[1] or seen[2] != ahead[2]:
            behind[:] = ahead
            ahead[:] = seen
            if seen[0] == _NOTHING_AHEAD:
                ahead[0] = -2.0
        else:
            ahead[0] -= pelvis_dx
        behind[0] -= pelvis_dx


@inlined_rounded
def _weigh(obstacle: Array, out: Array) -> None:
    x = obstacle[0]
    weight = 5.0 / 6.0 - x / 3.0 if -0.5 < x < 2.5 else 0.0
    out[0] = weight
    out[1] = weight * obstacle[1] / 0.14433756729740643
    out[2] = weight * (obstacle[2] - 0.1) / 0.05


@rounded
def _gait(basic: Array, memory: Array, out: Array) -> None:
    """See `es.envs.gait_observation.GaitObservation`."""
    tilt, pelvis_x, tilt_rate, vx = basic[0], basic[1], basic[3], basic[4]
    behind, ahead = memory[_BEHIND : _BEHIND + 3], memory[_AHEAD : _AHEAD + 3]
    if basic[39] != ahead[1] or basic[40] != ahead[2]:
        behind[:] = ahead
        ahead[0] = pelvis_x + basic[38]
        ahead[1], ahead[2] = basic[39], basic[40]
    out[0], out[1], out[2], out[3], out[4] = tilt, tilt_rate / 5.0, (basic[2] - 0.9) * 5.0, vx, basic[5]
    for i in range(len(_PELVIS_BUMPS)):
        x = pelvis_x + _PELVIS_BUMPS[i]
        out[5 + i] = _bump(ahead, x, _PELVIS_WIDTH) + _bump(behind, x, _PELVIS_WIDTH)
    for leg in range(2):
        start = _SHARED + leg * _LEG
        for i in range(3):
            out[start + i] = basic[6 + 3 * leg + i]
            out[start + 3 + i] = basic[12 + 3 * leg + i] / 5.0
        left_first = 2 * (1 - leg)
        foot_height = min(basic[29 + left_first], basic[33 + left_first] - 0.04)
        stance = min(max((0.03 - foot_height) / 0.03, 0.0), 1.0)
        out[start + 6] = foot_height * 5.0
        out[start + 7] = basic[32 + left_first] - pelvis_x
        out[start + 8] = (basic[37 - leg] - 1.0) * 5.0
        out[start + 9] = stance
        out[start + 10] = stance * tilt
        out[start + 11] = stance * (tilt_rate / 5.0)
        out[start + 12] = stance * out[start]
        out[start + 13] = stance * vx
        out[start + 14] = stance * out[start + 1]
        bumps = len(_FOOT_BUMPS)
        for i in range(bumps):
            x = basic[28 + left_first] + _FOOT_BUMPS[i]
            out[start + 15 + i] = _bump(ahead, x, _FOOT_WIDTH) + _bump(behind, x, _FOOT_WIDTH)
            out[start + 15 + bumps + i] = (1.0 - stance) * out[start + 15 + i]
        x = basic[28 + left_first] + _STRIDE_BUMP
        in_stride = _bump(ahead, x, _STRIDE_WIDTH) + _bump(behind, x, _STRIDE_WIDTH)
        out[start + 15 + 2 * bumps] = (1.0 - stance) * in_stride
        for i in range(len(_STEP_BUMPS)):
            x = basic[28 + left_first] + _STEP_BUMPS[i]
            step = start + 16 + 2 * bumps + i
            out[step] = stance * (_bump(ahead, x, _STEP_WIDTH) + _bump(behind, x, _STEP_WIDTH))
            out[step + len(_STEP_BUMPS)] = 1.0 - stance
    for i in range(len(_STEP_BUMPS)):
        right = _SHARED + _LEG - len(_STEP_BUMPS) + i
        out[right] *= out[right + _LEG - len(_STEP_BUMPS)]
        out[right + _LEG] *= out[right - len(_STEP_BUMPS)]


@inlined_rounded
def _bump(obstacle: Array, x: float, width: float) -> float:
    z = (obstacle[0] - x) / width
    rest = 1.0 - z * z
    return rest * rest * (max(obstacle[1] + 0.1, 0.0) * 10.0) if rest > 0.0 else 0.0
