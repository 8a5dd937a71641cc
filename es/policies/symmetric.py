"""One network for both legs of the Learning to Run runner, so that what one leg learns the other knows."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from es.config import Activation
from es.errors import ExperimentError
from es.native.network import Network
from es.policies import gait_weights
from es.policies.heads import Head
from es.policies.mlp import Layers, count_params, layers
from es.policies.policy import OneNetwork

Array = NDArray[np.float64]


class Clock(NamedTuple):
    """A phase that starts at 0 and turns evenly, half a cycle ahead for the left leg."""

    cycles_per_action: float
    """How far it turns between two actions; times exp(theta[0]) if learned."""
    harmonics: int = 1
    """How many of its harmonics the network sees, each as sine and cosine."""
    learned: bool = False
    """Whether the first parameter is the logarithm of a factor on its speed."""
    steered_by: tuple[int, ...] = ()
    """Observations of the right leg whose difference from the left's hurries it or holds it back, by two
    further parameters each (`es.native.network.Network.steering`)."""


NO_CLOCK = Clock(0.0, harmonics=0)


class Symmetric(OneNetwork):
    """Applies a network to the observation for the right leg and to its mirror image for the left.

    Each leg thereby sees the same shared values, its own leg's where the right leg sees the right one's, and
    the opposite leg's likewise. Its outputs are the nine muscles of that leg. With a clock, the network also
    sees sine and cosine of the phase, which is half a cycle apart for the two legs. The clock starts at phase
    0 and turns with every action, not with every step where actions are repeated.

    ``theta`` is the clock's speed, if it is learned, and then that of one network whose inputs are the
    observation and the clock's values.

    Args:
        mirror: indices that exchange left and right, shape (observation_size,)
            (`es.envs.observations.mirror`).
        hidden: units of each hidden layer; none gives a linear policy.
        activation: of the hidden layers.
        head: for the actions of both legs, right leg first.
        clock: `NO_CLOCK` for none.
    """

    def __init__(
        self,
        mirror: NDArray[np.intp],
        hidden: tuple[int, ...],
        activation: Activation,
        head: Head,
        clock: Clock,
    ) -> None:
        outputs = head.size // 2
        self._leg = Layers(mirror.size + 2 * clock.harmonics, hidden, activation, outputs)
        self.sizes = (mirror.size, *hidden, outputs)
        self.num_params = self._leg.num_params + clock.learned + 2 * len(clock.steered_by)
        self.head = head
        self._mirror = mirror.astype(np.int64)
        self._clock = clock

    def initial(self, rng: np.random.Generator) -> Array:
        """Random parameters, as `Layers.initial` draws them; the clock runs at its given speed."""
        return np.concatenate([np.zeros(self.num_params - self._leg.num_params), self._leg.initial(rng)])

    def widen(self, theta: Array, sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Parameters that act like a narrower symmetric policy's, which may have lacked (part of) the clock.

        A `gait` policy is one of those, with its parameters in another form.

        Observations that the narrower policy did not know follow those it knew.

        Raises:
            ExperimentError: another kind of policy, or one that is wider somewhere.
        """
        if theta.size in gait_weights.num_params() and tuple(sizes) == gait_weights.SIZES:
            theta = self._from_gait(theta)
        observations, *others = sizes
        known = [
            (learned, harmonics)
            for learned in sorted({0, int(self._clock.learned), self.num_params - self._leg.num_params})
            for harmonics in range(self._clock.harmonics + 1)
            if learned + count_params((observations + 2 * harmonics, *others)) == theta.size
        ]
        if observations > self.sizes[0] or not known:
            raise ExperimentError(
                f"warm_start.checkpoint: expected a symmetric policy of at most {self.sizes[0]} "
                f"observations, or a gait without opening, residual and strengths, got {theta.size} "
                f"parameters in layers {list(sizes)}"
            )
        learned, harmonics = known[0]
        speed = np.zeros(self.num_params - self._leg.num_params)
        speed[:learned] = theta[:learned]
        leg = self._leg.widen(theta[learned:], (observations + 2 * harmonics, *others), rng)
        # The clock's values come last, so new observations have to be pushed in before them.
        weights, _ = layers(self._leg.sizes, leg)[0]
        units = layers((observations + 2 * harmonics, *others), theta[learned:])[0][0].shape[0]
        clock = weights[:units, observations : observations + 2 * harmonics].copy()
        weights[:units, observations:] = 0.0
        weights[:units, self.sizes[0] : self.sizes[0] + 2 * harmonics] = clock
        return np.concatenate([speed, leg])

    def _from_gait(self, theta: Array) -> Array:
        weights, end = gait_weights.weights(theta), 1 + 2 * len(gait_weights.STEERED_BY)
        if self._clock.steered_by:
            return weights
        if weights[1:end].any():
            raise ExperimentError(
                "warm_start.checkpoint: expected a clock that nothing steers, got a gait that does; set "
                "policy.clock_steered"
            )
        return np.concatenate([weights[:1], weights[end:]])

    def network(self, theta: Array) -> Network:
        """What the compiled forward pass needs, with these parameters."""
        clock = self._clock
        cycles = clock.cycles_per_action * (math.exp(min(max(theta[0], -3.0), 3.0)) if clock.learned else 1.0)
        learned, steering = int(clock.learned), 2 * len(clock.steered_by)
        leg = self._leg.network(theta[learned + steering :])
        return leg._replace(
            mirror=self._mirror,
            cycles=cycles,
            harmonics=clock.harmonics,
            steering=np.ascontiguousarray(theta[learned : learned + steering]),
            steered_by=np.array(clock.steered_by, dtype=np.int64),
        )
