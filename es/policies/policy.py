"""What every policy can do, and how one acts in an episode."""

import itertools
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
    def start(self, theta: Array, observation: Array) -> Acting:
        """What acts in an episode that begins with this observation, shape (sizes[0],)."""

    def bind(self, theta: Array) -> Callable[[Array], Any]:
        """The policy with these parameters: observation, shape (sizes[0],), to action.

        It counts its calls, for the clock and for the opening's end. So bind anew for each episode.
        """
        return bound(lambda observation: self.start(theta, observation), self.head)


class OneNetwork(Policy):
    """A policy that acts with one network in every episode, from the first action on."""

    @abstractmethod
    def network(self, theta: Array) -> Network:
        """What the compiled forward pass needs, with these parameters."""

    def start(self, theta: Array, observation: Array) -> Acting:
        """That network, whatever the episode begins with."""
        acting = self.network(theta)
        return acting, no_opening(acting)


def bound(start: Callable[[Array], Acting], head: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """A function from observation to action for one episode, whose networks its first observation decides."""
    actions = itertools.count()
    shift = np.zeros(1)
    acting: Network
    opening: Opening
    scratch: Array
    out: Array

    def act(observation: Array) -> Any:
        nonlocal acting, opening, scratch, out
        observation = np.ascontiguousarray(observation)
        action = next(actions)
        if action == 0:
            acting, opening = start(observation)
            scratch = np.empty(2 * int(acting.sizes.max()))
            out = np.empty((2 if acting.mirror.size else 1) * int(acting.sizes[-1]))
        if action == opening.actions:
            shift[0] += network.taken_over(acting, opening)
        now = opening.network if action < opening.actions else acting
        network.outputs(*now, action, shift, observation, scratch, out)
        return head(out)

    return act
