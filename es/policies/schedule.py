"""A gait that depends on how strong the runner is.

An episode draws the strength of the right psoas and tells it; a gait that suits the mean falls with a weak
one. So it has numbers of its own for several strengths, and between them they are interpolated: gain
scheduling (W. Rugh, J. Shamma 2000, "Research on gain scheduling", Automatica 36, 1401-1425).
"""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from es.envs.gait_observation import NAMES_GAIT
from es.policies.gait import Gait
from es.policies.opening import OpenedGait
from es.policies.policy import Acting, NetworkPolicy

Array = NDArray[np.float64]

_STRENGTH = NAMES_GAIT.index("strength_r")
"""Of the right psoas; what it tells of the left leg is another muscle's."""
_UNIT = 0.2
"""Of strength in the observation, which counts from the mean."""


class ScheduledGait(NetworkPolicy):
    """A gait, with or without an opening, whose numbers follow the strength that an episode begins with.

    Its parameters are those of the gait of mean strength, residual included, and then for each other strength
    the first ``num_settings`` once more. The residual is the same for all.

    Args:
        gait: what acts, with the numbers of one strength.
        strengths: the others, in ascending order, none of them 1, the mean; below the lowest and above the
            highest numbers stay as they are there.
    """

    def __init__(self, gait: Gait | OpenedGait, strengths: tuple[float, ...]) -> None:
        self._gait = gait
        self._knots = sorted((1.0, *strengths))
        self.sizes = gait.sizes * len(self._knots)
        self.num_params = gait.num_params + len(strengths) * gait.num_settings
        self.head = gait.head

    def initial(self, rng: np.random.Generator) -> Array:
        """All alike, where the gait begins."""
        return self._repeated(self._gait.initial(rng))

    def widen(self, theta: Array, sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Those of a gait that has no schedule and no more than this one, for each strength; or its own.

        Raises:
            ExperimentError: those of another policy.
        """
        if theta.size == self.num_params and tuple(sizes) == self.sizes:
            return theta.copy()
        return self._repeated(self._gait.widen(theta, sizes, rng))

    def start(self, theta: Array, observation: Array) -> Acting:
        """The gait for the strength that this observation tells."""
        strength = 1.0 + _UNIT * float(observation[_STRENGTH])
        return self._gait.start(self.at(theta, strength), observation)

    def at(self, theta: Array, strength: float) -> Array:
        """The gait's parameters for a strength, shape (gait.num_params,)."""
        n, knots = self._gait.num_settings, self._knots
        mean, others = theta[: self._gait.num_params], theta[self._gait.num_params :].reshape(-1, n)
        sets = np.insert(others, knots.index(1.0), mean[:n], axis=0)
        strength = min(max(strength, knots[0]), knots[-1])
        above = max(bisect_left(knots, strength), 1)
        share = (strength - knots[above - 1]) / (knots[above] - knots[above - 1])
        settings = (1.0 - share) * sets[above - 1] + share * sets[above]
        return np.concatenate([settings, mean[n:]])

    def _repeated(self, gait: Array) -> Array:
        return np.concatenate([gait, *[gait[: self._gait.num_settings]] * (len(self._knots) - 1)])
