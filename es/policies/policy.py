"""What every policy can do, and how one acts in an episode."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from es.native import network
from es.native.network import Network, Opening, no_opening
from es.policies.heads import Head

Array = NDArray[np.float64]
Acting = tuple[Network, Opening]
"""What acts in an episode, and what acts in its place at first."""


class Policy(ABC):
    """From observations to actions. Parameters are passed in, shape (num_params,)."""

    sizes: tuple[int, ...]
    """Of its layers, the observation's first."""
    num_params: int
    head: Head

    @abstractmethod
    def initial(self, rng: np.random.Generator) -> Array:
        """Parameters where a search begins."""

    @abstractmethod
    def widen(self, theta: Array, sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Parameters that act like those of a narrower policy of its kind, of layer ``sizes``.

        Raises:
            ExperimentError: another kind of policy, or one that is wider somewhere.
        """

    @abstractmethod
    def bind(self, theta: Array) -> Callable[[Array], Any]:
        """The policy with these parameters: observation, shape (sizes[0],), to action.

        What it returns remembers the episode. So bind anew for each one.
        """


class NetworkPolicy(Policy):
    """A policy that acts with a network, after an opening perhaps, which compiled code can apply."""

    @abstractmethod
    def start(self, theta: Array, observation: Array) -> Acting:
        """What acts in an episode that begins with this observation, shape (sizes[0],)."""

    def bind(self, theta: Array) -> Callable[[Array], Any]:
        """The policy with these parameters; it counts its calls, for the clock and for the opening's end."""
        return Bound(lambda observation: self.start(theta, observation), self.head)


class OneNetwork(NetworkPolicy):
    """A policy that acts with one network in every episode, from the first action on."""

    @abstractmethod
    def network(self, theta: Array) -> Network:
        """What the compiled forward pass needs, with these parameters."""

    def start(self, theta: Array, observation: Array) -> Acting:
        """That network, whatever the episode begins with."""
        acting = self.network(theta)
        return acting, no_opening(acting)


class Bound:
    """A function from observation to action for one episode, whose networks its first observation decides.

    ``actions`` counts its calls, ``shift``, shape (1,), is how far steering has moved the clock.
    """

    def __init__(self, start: Callable[[Array], Acting], head: Callable[[Array], Any]) -> None:
        self._start = start
        self._head = head
        self.actions = 0
        self.shift = np.zeros(1)

    def __call__(self, observation: Array, push: Array | None = None) -> Any:
        """The next action; a push, of the networks' outputs' shape, is added to these."""
        observation = np.ascontiguousarray(observation)
        if self.actions == 0:
            self._acting = self._start(observation)
            sizes, mirror = self._acting[0].sizes, self._acting[0].mirror
            self._scratch = np.empty(2 * int(sizes.max()))
            self._out = np.empty((2 if mirror.size else 1) * int(sizes[-1]))
        later, opening = self._acting
        if self.actions == opening.actions:
            self.shift[0] += network.taken_over(later, opening)
        now = opening.network if self.actions < opening.actions else later
        network.outputs(*now, self.actions, self.shift, observation, self._scratch, self._out)
        self.actions += 1
        return self._head(self._out if push is None else self._out + push)
