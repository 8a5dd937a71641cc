"""What a gait's three joints cannot say: each muscle's own weights, added to those that the joints give it.

A residual (T. Silver et al. 2018, "Residual policy learning", https://arxiv.org/abs/1812.06298) of a linear
part and hidden units. Of the units only the outgoing weights are searched: the incoming ones are drawn once
and stay (A. Rahimi, B. Recht 2008, "Weighted sums of random kitchen sinks"), which keeps the search small.
"""

import math

import numpy as np
from numpy.typing import NDArray

from es.envs.gait_observation import NAMES_GAIT
from es.native.network import TANH, Network
from es.policies.gait_weights import HARMONICS, INPUTS, MUSCLES

Array = NDArray[np.float64]

SEED = 1
"""Of the hidden units. No run's: they are part of what trained parameters mean, like the scale below."""
UNIT = 2.0
"""Of the parameters: a runner bears disturbances of these weights twice as large as of its gait's numbers."""
FAN_IN = 4
"""Inputs that a hidden unit sees."""
STRENGTH, OFFSET = 1.5, 0.7
"""Standard deviations: of a unit's sum where its inputs are independent, and of its bias."""

_TYPICAL = {
    "pelvis_tilt": (0.0, 0.14),
    "pelvis_tilt_rate": (0.0, 0.27),
    "pelvis_height": (0.03, 0.26),
    "pelvis_vx": (2.6, 1.2),
    "pelvis_vy": (0.0, 0.5),
    "hip": (0.0, 0.56),
    "knee": (-0.84, 0.62),
    "ankle": (-0.23, 0.37),
    "hip_rate": (0.0, 1.2),
    "knee_rate": (0.0, 1.5),
    "ankle_rate": (0.0, 1.0),
    "foot_height": (0.63, 0.71),
    "foot_x": (-0.35, 0.26),
    "strength": (0.0, 0.5),
    "stance": (0.33, 0.46),
    "stance_tilt": (0.0, 0.075),
    "stance_tilt_rate": (0.0, 0.16),
    "stance_hip": (0.0, 0.26),
    "stance_vx": (0.75, 1.25),
    "stance_knee": (-0.17, 0.38),
    "obstacle": (0.15, 0.32),
    "foot_obstacle": (0.09, 0.25),
    "swing_obstacle": (0.07, 0.22),
    "step_obstacle": (0.04, 0.17),
    "reach_obstacle": (0.04, 0.17),
}
"""Means and standard deviations of what a runner of 2.6 m/s saw on 30 courses of round 2, in the units of
`es.envs.gait_observation`, rounded; bumps of one kind are alike."""


class Residual:
    """Further weights of a gait's nine muscles.

    Its parameters, shape (num_params,), are per muscle the weights of all inputs, a bias, and the weights of
    the hidden units, all in units of UNIT. Inputs count from their typical mean and in units of their typical
    spread, so that weights of 1 move the muscle by about 1 before its head.

    ``mean`` and ``spread``, shape (inputs,), are the inputs' scale; ``incoming``, shape (hidden, inputs), and
    ``offsets``, shape (hidden,), the hidden units' weights of scaled inputs and their biases.

    Args:
        hidden: units; the first ones of more are the same.
    """

    def __init__(self, hidden: int) -> None:
        self.hidden = hidden
        self.mean, self.spread = _typical()
        self.num_params = count_params(hidden)
        self.incoming, self.offsets = _units(hidden)
        weights, biases = self._unscaled(self.incoming, self.offsets)
        self._first_layer = np.concatenate([weights.ravel(), biases])

    def widen(self, theta: Array) -> Array:
        """The same of no more hidden units, shape (count_params(h),), h <= hidden; the others weigh 0."""
        narrow = theta.reshape(MUSCLES, -1)
        return np.pad(narrow, ((0, 0), (0, self.num_params // MUSCLES - narrow.shape[1]))).ravel()

    def added(self, linear: Network, theta: Array) -> Network:
        """A linear gait's network with these parameters beside its own.

        The gait's weights join the skip connection: the last layer sees hidden units only.
        """
        given = UNIT * theta.reshape(MUSCLES, -1)
        own, bias, outgoing = np.split(given, [INPUTS, INPUTS + 1], axis=1)
        weights, biases = self._unscaled(own, bias[:, 0])
        linear_weights, linear_biases = np.split(linear.theta, [MUSCLES * INPUTS])
        outputs = np.concatenate([outgoing.ravel(), linear_biases + biases])
        return linear._replace(
            theta=np.concatenate([self._first_layer, outputs]),
            sizes=np.array([INPUTS, self.hidden, MUSCLES], dtype=np.int64),
            activation=TANH,
            skip=linear_weights + weights.ravel(),
        )

    def features(self, inputs: Array) -> Array:
        """What a muscle's parameters weigh, shape (..., num_params / 9), where a leg has these inputs.

        Args:
            inputs: of the gait's network, shape (..., inputs).
        """
        scaled = (inputs - self.mean) / self.spread
        hidden = np.tanh(scaled @ self.incoming.T + self.offsets)
        return UNIT * np.concatenate([scaled, np.ones((*scaled.shape[:-1], 1)), hidden], axis=-1)

    def _unscaled(self, weights: Array, biases: Array) -> tuple[Array, Array]:
        """Weights and biases for inputs as they are that do what these do for scaled ones."""
        weights = weights / self.spread
        for column in (weights * self.mean).T:  # in order, so that it is the same on every processor
            biases = biases - column
        return weights, biases


def count_params(hidden: int) -> int:
    """How many parameters a residual with these hidden units has."""
    return MUSCLES * (INPUTS + 1 + hidden)


def _typical() -> tuple[Array, Array]:
    """Mean and spread of each input, shape (inputs,)."""
    leg = (name.removesuffix("_r").removesuffix("_l") for name in NAMES_GAIT)
    kinds = [name if name in _TYPICAL else name.rstrip("0123456789").rstrip("_") for name in leg]
    clock = [(0.0, 0.7)] * (2 * HARMONICS)  # waves
    mean, spread = np.array([*(_TYPICAL[kind] for kind in kinds), *clock]).T
    return mean, spread


def _units(count: int) -> tuple[Array, Array]:
    """Incoming weights, shape (count, INPUTS), and biases, shape (count,), of hidden units."""
    rng = np.random.default_rng(SEED)
    weights, biases = np.zeros((count, INPUTS)), np.zeros(count)
    for unit in range(count):
        seen = rng.choice(INPUTS, FAN_IN, replace=False)
        draw = rng.standard_normal(FAN_IN)
        norm = math.sqrt(math.fsum(draw * draw))  # BLAS' would depend on the processor
        weights[unit, seen] = draw * (STRENGTH / norm)
        biases[unit] = OFFSET * rng.standard_normal()
    return weights, biases
