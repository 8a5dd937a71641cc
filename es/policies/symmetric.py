"""One network for both legs of the Learning to Run runner, so that what one leg learns the other knows."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from es.config import Activation
from es.errors import ExperimentError
from es.policies.heads import Head
from es.policies.mlp import MLP, count_params

Array = NDArray[np.float64]

CLOCK_VALUES = 2


class Symmetric:
    """Applies a network to the observation for the right leg and to its mirror image for the left.

    Each leg thereby sees the same shared values, its own leg's where the right leg sees the right one's, and
    the opposite leg's likewise. Its outputs are the nine muscles of that leg. With a clock, the network also
    sees sine and cosine of the phase, which is half a cycle apart for the two legs.

    ``theta`` is that of one `MLP` whose inputs are the observation and then the clock's two values.

    Args:
        mirror: indices that exchange left and right, shape (observation_size,)
            (`es.envs.observations.mirror`).
        hidden: units of each hidden layer; none gives a linear policy.
        activation: of the hidden layers.
        head: for the actions of both legs, right leg first.
        cycles_per_action: how far the clock turns between two actions; None for no clock.
    """

    def __init__(
        self,
        mirror: NDArray[np.intp],
        hidden: tuple[int, ...],
        activation: Activation,
        head: Head,
        cycles_per_action: float | None,
    ) -> None:
        outputs = _Outputs(head.size // 2)
        inputs = mirror.size + (0 if cycles_per_action is None else CLOCK_VALUES)
        self._leg = MLP(inputs, hidden, activation, outputs)
        self.sizes = (mirror.size, *hidden, outputs.size)
        self.num_params = self._leg.num_params
        self._mirror = mirror
        self._head = head
        self._cycles_per_action = cycles_per_action

    def initial(self, rng: np.random.Generator) -> Array:
        """Random parameters, as `MLP.initial` draws them."""
        return self._leg.initial(rng)

    def widen(self, theta: Array, sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Parameters that act like a narrower symmetric policy's, which may have lacked the clock.

        Raises:
            ExperimentError: another kind of policy, other observations, or a network that is wider somewhere.
        """
        observations, *others = sizes
        candidates = [observations, observations + CLOCK_VALUES]
        inputs = [size for size in candidates if count_params((size, *others)) == theta.size]
        if observations != self.sizes[0] or not inputs:
            raise ExperimentError(
                f"warm_start.checkpoint: expected a symmetric policy of {self.sizes[0]} observations, "
                f"got {theta.size} parameters in layers {list(sizes)}"
            )
        return self._leg.widen(theta, (inputs[0], *others), rng)

    def bind(self, theta: Array) -> Callable[[Array], Any]:
        """The policy with these parameters: observation, shape (observation_size,), to action.

        The clock starts at phase 0 and turns with every call, which is one per action, not one per step where
        actions are repeated. So bind anew for each episode.
        """
        leg = self._leg.bind(theta)
        actions = itertools.count()

        def act(observation: Array) -> Any:
            clock = self._clock(next(actions))
            right = leg(np.concatenate([observation, clock]))
            left = leg(np.concatenate([observation[self._mirror], -clock]))  # -: half a cycle later
            return self._head(np.concatenate([right, left]))

        return act

    def _clock(self, action: int) -> Array:
        if self._cycles_per_action is None:
            return np.empty(0)
        phase = 2 * math.pi * (action * self._cycles_per_action % 1.0)
        return np.array([math.sin(phase), math.cos(phase)])


class _Outputs:
    """The head of one leg: hands the outputs on, as actions are made from both legs' together."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, outputs: Array) -> Array:
        return outputs
