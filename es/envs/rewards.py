"""The rewards per step of 0.01 s: the challenge's own and the shaped one of learning2run, with any weights.

``before`` and ``after`` are 41-value observations (`es.envs.observations`) around the step and
``limit_torque_square_sum`` is the sum over the six leg joints of the squared coordinate limit torque at its
end, (N m)^2. No reward has a bonus or penalty for the end of an episode.
"""

from collections.abc import Mapping
from math import isfinite, sqrt
from typing import NamedTuple

from es.envs.physics import STEP_SECONDS, Array
from es.errors import UsageError


class RewardWeights(NamedTuple):
    """How much each term of the weighted reward counts; the defaults are learning2run's."""

    velocity: float = 1.0
    """Per metre that the pelvis would move forward in a step at its velocity."""
    survive: float = 0.01
    """Per step."""
    lean: float = 0.1
    """Cost per metre that the head is behind the pelvis, in each step."""
    straight_knees: float = 0.02
    """Cost per radian and knee above 0.1 rad of hyper-extension, in each step."""
    ligaments: float = 1.0
    """Of the penalty for over-extended joints (`ligament_penalty`)."""
    low_swing: float = 0.0
    """Cost per square metre of what the feet leave out under SWING_HEIGHT on their way forward."""
    touch: float = 0.0
    """Cost per metre that a foot comes deeper into an obstacle than before
    (`es.envs.obstacle_contact.deepen`)."""


SHAPED = RewardWeights()

SWING_HEIGHT = 0.2
"""At which a foot clears every obstacle, m."""


def checked_weights(changes: Mapping[str, float]) -> RewardWeights:
    """The default weights with ``changes``.

    Raises:
        UsageError: not a table, an unknown term, or a weight that is not a finite number.
    """
    if not isinstance(changes, Mapping):
        raise UsageError(f"reward_weights must be a table of weights, got {changes!r}")
    for term, weight in changes.items():
        if term not in RewardWeights._fields:
            raise UsageError(f"reward_weights are {', '.join(RewardWeights._fields)}, got {term!r}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not isfinite(weight):
            raise UsageError(f"reward_weights.{term} must be a finite number, got {weight!r}")
    return SHAPED._replace(**changes)


def ligament_penalty(limit_torque_square_sum: float) -> float:
    """What over-extended joints cost in each step."""
    return 1e-7 * sqrt(limit_torque_square_sum)


def low_swing(before: Array, after: Array) -> float:
    """The area between the feet's way in this step, where it leads forward, and SWING_HEIGHT, m^2.

    A foot is as high as the lower of its toes and 0.04 m below its ankle.
    """
    area = 0.0
    for side in (0, 2):
        height = min(float(after[29 + side]), float(after[33 + side]) - 0.04)
        forward = float(after[28 + side] - before[28 + side])
        area += max(0.0, forward) * max(0.0, SWING_HEIGHT - height)
    return area


def original_reward(before: Array, after: Array, limit_torque_square_sum: float) -> float:
    """Metres the pelvis moved forward, minus the ligament penalty (osim-rl 1.5)."""
    return float(after[1] - before[1]) - ligament_penalty(limit_torque_square_sum)


def weighted_reward(
    before: Array, after: Array, limit_torque_square_sum: float, deepened: float, weights: RewardWeights
) -> float:
    """Pelvis velocity plus a living bonus, minus what the other weights charge for.

    A knee angle is positive when hyper-extended. ``deepened`` is that of `es.envs.obstacle_contact.deepen`.
    """
    forward = weights.velocity * (STEP_SECONDS * float(after[4]))
    lean_back = weights.lean * min(0.0, float(after[22] - after[1]))
    knees = weights.straight_knees * (max(0.0, float(after[7]) - 0.1) + max(0.0, float(after[10]) - 0.1))
    ligaments = weights.ligaments * ligament_penalty(limit_torque_square_sum)
    reward = forward + weights.survive + lean_back - knees - ligaments
    if weights.low_swing:
        reward -= weights.low_swing * low_swing(before, after)
    return reward - weights.touch * deepened


def shaped_reward(after: Array, limit_torque_square_sum: float) -> float:
    """The weighted reward with learning2run's weights."""
    return weighted_reward(after, after, limit_torque_square_sum, 0.0, SHAPED)
