"""What a moment is worth to a runner that plans: how far its gait comes from there, and whether it falls.

A small network foresees both for the next seconds, from what the gait sees, the muscles' activations and the
clock; without it, a plan would not shun a fall that comes after the end of what is tried.
"""

import numpy as np
from numpy.typing import NDArray

from es.envs.gait_observation import NAMES_GAIT
from es.envs.physics import MUSCLES
from es.native import network
from es.policies import mlp
from es.policies.foresight import Ahead
from es.policies.gait_weights import HARMONICS
from es.policies.mlp import Layers

Array = NDArray[np.float64]

SPAN = 1.5
"""How far it foresees, s."""
CRUISE = 1.0
"""What each second after that counts for a runner that is still up then, m. It will run three times as far,
but that its gait falls does not mean that it does, since it plans on."""
FALL = 6.0
"""What a fall costs beside the way that is not made, m."""
OBSERVED = len(NAMES_GAIT) + MUSCLES
"""Values that the network sees beside the clock."""


class Worth:
    """With these parameters, shape (count_params(hidden),).

    Its network has two hidden layers and two outputs: metres in the next ``SPAN`` seconds, and the
    probability that the runner is still up then. Parameters of zero foresee neither way nor falls.
    """

    def __init__(self, theta: Array, hidden: int) -> None:
        inputs, *units, outputs = sizes(hidden)
        plain = Layers(inputs, tuple(units), "tanh", outputs)
        self._network = plain.network(theta)._replace(harmonics=HARMONICS)
        self._scratch, self._out = np.empty(2 * max(sizes(hidden))), np.empty(2)

    def __call__(self, there: Ahead) -> float:
        """Metres at the end of the episode, as far as one can tell, less what a fall costs."""
        if there.fell:
            return there.metres - FALL
        observed = np.concatenate([there.values, there.activations])
        network.outputs(*self._network, 0, np.array([there.phase]), observed, self._scratch, self._out)
        metres, up = float(self._out[0]), min(max(float(self._out[1]), 0.0), 1.0)
        return there.metres + metres * min(there.left / SPAN, 1.0) + up * CRUISE * max(there.left - SPAN, 0.0)


def sizes(hidden: int) -> tuple[int, ...]:
    """Units of the network's layers, inputs first."""
    return (OBSERVED + 2 * HARMONICS, hidden, hidden, 2)


def count_params(hidden: int) -> int:
    """How many parameters a network with so many units in each hidden layer has."""
    return mlp.count_params(sizes(hidden))
