"""A gait with an opening: the first moments of an episode have parameters of their own.

A start from standing and a steady run ask for different things. Apart, each can be searched for without harm
to the other; the winners of 2017 had a network for the first 75 steps, too.
"""

import numpy as np
from numpy.typing import NDArray

from es.errors import ExperimentError
from es.native.network import Opening
from es.policies.gait import Gait, num_residual
from es.policies.policy import Acting, NetworkPolicy

Array = NDArray[np.float64]


class OpenedGait(NetworkPolicy):
    """A gait whose first actions are another one's, of the same kind.

    Its parameters are those of the gait, how far the clock is turned on when it takes over (cycles), those of
    the opening, and those of the residual, if they have one: both have the same.

    As those of a gait, its first ``num_settings`` parameters are those without the residual.

    Args:
        gait: how both turn their parameters into weights.
        actions: how many actions are the opening's.
    """

    def __init__(self, gait: Gait, actions: int) -> None:
        self._gait = gait
        self._actions = actions
        self.sizes = gait.sizes * 2
        self.num_settings = 2 * gait.num_settings + 1
        self.num_params = gait.num_settings + 1 + gait.num_params
        self.head = gait.head

    def initial(self, rng: np.random.Generator) -> Array:
        """Both alike, where the gait begins."""
        return self._opened(self._gait.initial(rng))

    def widen(self, theta: Array, sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Parameters that act alike, of a gait with or without an opening that has no more than this one.

        Raises:
            ExperimentError: those of another policy.
        """
        half = tuple(sizes[: len(sizes) // 2])
        if tuple(sizes) != 2 * half:
            return self._opened(self._gait.widen(theta, sizes, rng))
        n, odd = divmod(theta.size - 1 - num_residual(half), 2)
        if odd:
            raise ExperimentError(
                f"warm_start.checkpoint: expected a gait with an opening, got {theta.size} parameters"
            )
        gait, opening = (self._gait.widen(each, half, rng) for each in _parts(theta, n))
        return np.concatenate([gait[: self._gait.num_settings], theta[n : n + 1], opening])

    def start(self, theta: Array, observation: Array) -> Acting:
        """The gait, and the opening before it, whatever the episode begins with."""
        n = self._gait.num_settings
        run, first = (self._gait.network(each) for each in _parts(theta, n))
        return run, Opening(first, self._actions, float(theta[n]))

    def _opened(self, gait: Array) -> Array:
        return np.concatenate([gait[: self._gait.num_settings], [0.0], gait])


def _parts(theta: Array, settings: int) -> tuple[Array, Array]:
    """The gait's parameters and the opening's, each with the residual, if there is one."""
    opening = theta[settings + 1 :]
    return np.concatenate([theta[:settings], opening[settings:]]), opening
