"""The policy whose few dozen parameters `es.policies.gait_weights` turns into weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from es import config
from es.envs import running_start
from es.envs.gait_observation import NAMES_GAIT
from es.envs.observations import mirror
from es.errors import ExperimentError
from es.native.network import Network
from es.policies import human_running
from es.policies.gait_weights import (
    HARMONICS,
    NUM_PARAMS,
    OVER,
    SELECTION,
    SIZES,
    STEERED_BY,
    complete,
    num_params,
    weights,
)
from es.policies.heads import Head
from es.policies.mlp import bound
from es.policies.symmetric import Clock, Symmetric

Array = NDArray[np.float64]


class Gait:
    """The controller as a policy whose parameters are the settings' distances from their typical values.

    Args:
        head: for the actions of both legs, right leg first.
        cycles_per_action: how far the clock turns between two actions at its typical speed.
        reflexes: which of those of `gait_weights.REFLEXES` it has.
        start: where it begins (`es.config.Gait`).
    """

    sizes = SIZES

    def __init__(
        self,
        head: Head,
        cycles_per_action: float,
        *,
        reflexes: config.Reflexes = "none",
        start: config.GaitStart = "typical",
    ) -> None:
        self._selection = SELECTION[reflexes]
        self._start = start
        self.num_params = len(self._selection)
        clock = Clock(cycles_per_action, HARMONICS, learned=True, steered_by=STEERED_BY)
        self._linear = Symmetric(mirror(NAMES_GAIT), (), "tanh", head, clock)
        self.head = head

    def initial(self, rng: np.random.Generator) -> Array:
        """The typical controller, or one that tries to run; both fall."""
        start = np.zeros(NUM_PARAMS)
        if self._start != "typical":
            phase = rng.random() if self._start == "running" else running_start.PHASE
            start = human_running.parameters(phase)
        return complete(start)[self._selection]

    def widen(self, theta: Array, sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
        """The same parameters, and reflexes of zero strength where there were none.

        Where reflexes begin, so does what heeds obstacles: a plain gait is searched for on flat ground, where
        chance alone moves those parameters.

        Raises:
            ExperimentError: those of another policy.
        """
        if theta.size not in num_params() or theta.size > self.num_params or tuple(sizes) != self.sizes:
            raise ExperimentError(
                f"warm_start.checkpoint: expected a gait policy of at most {self.num_params} parameters, got "
                f"{theta.size}"
            )
        wider = complete(theta)
        if theta.size < self.num_params:
            wider[OVER] = 0.0
        return wider[self._selection]

    def network(self, theta: Array) -> Network:
        """What the compiled forward pass needs, with these parameters."""
        return self._linear.network(weights(theta))

    def bind(self, theta: Array) -> Callable[[Array], Any]:
        """The policy with these parameters: observation to action; bind anew for each episode."""
        return bound(self.network(theta), self.head)
