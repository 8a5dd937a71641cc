"""The two rewards per step of 0.01 s: the challenge's own and the shaped one of learning2run.

``before`` and ``after`` are 41-value observations (`es.envs.observations`) around the step and
``limit_torque_square_sum`` is the sum over the six leg joints of the squared coordinate limit torque at its
end, (N m)^2. Neither reward has a bonus or penalty for the end of an episode.
"""

from math import sqrt

from es.envs.physics import STEP_SECONDS, Array


def ligament_penalty(limit_torque_square_sum: float) -> float:
    """What over-extended joints cost in each step."""
    return 1e-7 * sqrt(limit_torque_square_sum)


def original_reward(before: Array, after: Array, limit_torque_square_sum: float) -> float:
    """Metres the pelvis moved forward, minus the ligament penalty (osim-rl 1.5)."""
    return float(after[1] - before[1]) - ligament_penalty(limit_torque_square_sum)


def shaped_reward(after: Array, limit_torque_square_sum: float) -> float:
    """Pelvis velocity plus a living bonus, minus a lean-back and a straight-knee penalty (learning2run).

    The head behind the pelvis costs 0.1 per metre. A knee angle is positive when hyper-extended; above
    0.1 rad it costs 0.02 per radian and knee.
    """
    forward = STEP_SECONDS * float(after[4])
    alive = 0.01
    lean_back = 0.1 * min(0.0, float(after[22] - after[1]))
    knees = 0.02 * (max(0.0, float(after[7]) - 0.1) + max(0.0, float(after[10]) - 0.1))
    return forward + alive + lean_back - knees - ligament_penalty(limit_torque_square_sum)
