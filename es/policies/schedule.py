"""A gait that depends on how strong the runner is.

An episode draws the strengths of two muscles and tells them. A gait that suits the mean falls with a weak
psoas, so it has numbers of its own for several strengths, and between them they are interpolated: gain
scheduling (W. Rugh, J. Shamma 2000, "Research on gain scheduling", Automatica 36, 1401-1425).
"""

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from es import config
from es.envs.gait_observation import NAMES_GAIT
from es.policies.gait import Gait
from es.policies.opening import OpenedGait
from es.policies.policy import Acting, Policy

Array = NDArray[np.float64]

_RIGHT, _LEFT = NAMES_GAIT.index("strength_r"), NAMES_GAIT.index("strength_l")
_UNIT = 0.2
"""Of strength, in the observation, which counts from 1."""


class ScheduledGait(Policy):
    """A gait, with or without an opening, whose numbers follow the strengths that an episode begins with.

    Its parameters are those of the gait of mean strengths, residual included, and then for each other
    strength, the right ones first, what it adds to the first ``num_settings`` of them; both sides add. The
    residual is the same for all.

    Args:
        gait: what acts, with the numbers of one pair of strengths.
        schedule: the strengths.
    """

    def __init__(self, gait: Gait | OpenedGait, schedule: config.Schedule) -> None:
        self._gait = gait
        self._schedule = schedule
        self.sizes = gait.sizes
        others = len(schedule.right) + len(schedule.left)
        self.num_params = gait.num_params + others * gait.num_settings
        self.head = gait.head

    def initial(self, rng: np.random.Generator) -> Array:
        """All alike, where the gait begins."""
        return self._alike(self._gait.initial(rng))

    def widen(self, theta: Array, sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Its own, or those of a gait without a schedule that has no more than this one, for all strengths.

        Raises:
            ExperimentError: those of another policy.
        """
        if theta.size == self.num_params and tuple(sizes) == self.sizes:
            return theta.copy()
        return self._alike(self._gait.widen(theta, sizes, rng))

    def start(self, theta: Array, observation: Array) -> Acting:
        """The gait for the strengths that this observation tells."""
        right, left = (1.0 + _UNIT * float(observation[side]) for side in (_RIGHT, _LEFT))
        return self._gait.start(self.at(theta, right, left), observation)

    def at(self, theta: Array, right: float, left: float) -> Array:
        """The gait's parameters for these strengths, shape (gait.num_params,)."""
        n, rest = self._gait.num_settings, self._gait.num_params
        shares = (*_shares(right, self._schedule.right), *_shares(left, self._schedule.left))
        gait = theta[:rest].copy()
        for share, added in zip(shares, theta[rest:].reshape(-1, n), strict=True):
            gait[:n] += share * added
        return gait

    def _alike(self, gait: Array) -> Array:
        return np.concatenate([gait, np.zeros(self.num_params - gait.size)])


def _shares(strength: float, others: config.Strengths) -> list[float]:
    """How much the numbers of each of these strengths count; what is left to 1 is the mean one's.

    Linear between neighbours, and beyond the lowest and the highest as there.
    """
    knots = sorted((1.0, *others))
    counts = dict.fromkeys(knots, 0.0)
    above = bisect_right(knots, strength)
    low, high = knots[max(above - 1, 0)], knots[min(above, len(knots) - 1)]
    share = (strength - low) / (high - low) if low < high else 0.0
    counts[low] += 1.0 - share
    counts[high] += share
    return [counts[each] for each in others]
