"""A gait with an opening: the first moments of an episode have parameters of their own.

A start from standing and a steady run ask for different things. Apart, each can be searched for without harm
to the other; the winners of 2017 had a network for the first 75 steps, too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from es.native.network import Network, Opening
from es.policies.gait import Gait
from es.policies.mlp import bound

Array = NDArray[np.float64]


class OpenedGait:
    """A gait whose first actions are another one's, of the same kind.

    Its parameters are those of the gait, how far the clock is turned on when it takes over (cycles), and
    those of the opening: shape (2 n + 1,).

    Args:
        gait: how both turn their parameters into weights.
        actions: how many actions are the opening's.
    """

    def __init__(self, gait: Gait, actions: int) -> None:
        self._gait = gait
        self._actions = actions
        self.sizes = gait.sizes * 2
        self.num_params = 2 * gait.num_params + 1
        self.head = gait.head

    def initial(self, rng: np.random.Generator) -> Array:
        """Both alike, where the gait begins."""
        return _same(self._gait.initial(rng))

    def widen(self, theta: Array, sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Parameters that act alike, of a gait with or without an opening that has no more than this one.

        Raises:
            ExperimentError: those of another policy.
        """
        n, half = theta.size // 2, tuple(sizes[: len(sizes) // 2])
        if tuple(sizes) != 2 * half:
            return _same(self._gait.widen(theta, sizes, rng))
        gait, opening = (self._gait.widen(part, half, rng) for part in (theta[:n], theta[n + 1 :]))
        return np.concatenate([gait, theta[n : n + 1], opening])

    def network(self, theta: Array) -> Network:
        """Of the gait, with these parameters."""
        return self._gait.network(theta[: self._gait.num_params])

    def opening(self, theta: Array) -> Opening:
        """What acts before it."""
        n = self._gait.num_params
        return Opening(self._gait.network(theta[n + 1 :]), self._actions, float(theta[n]))

    def bind(self, theta: Array) -> Callable[[Array], Any]:
        """The policy with these parameters: observation to action; bind anew for each episode."""
        return bound(self.network(theta), self.head, self.opening(theta))


def _same(gait: Array) -> Array:
    return np.concatenate([gait, [0.0], gait])
