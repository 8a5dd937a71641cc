"""The policy whose few dozen parameters `es.policies.gait_weights` turns into weights."""

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
from es.policies.policy import OneNetwork
from es.policies.residual import Residual, count_params
from es.policies.symmetric import Clock, Symmetric

Array = NDArray[np.float64]


class Gait(OneNetwork):
    """The controller as a policy whose parameters are the settings' distances from their typical values.

    With a residual, these are the first ``num_settings`` of its ``num_params`` parameters.

    Args:
        head: for the actions of both legs, right leg first.
        cycles_per_action: how far the clock turns between two actions at its typical speed.
        reflexes: which of those of `gait_weights.REFLEXES` it has.
        start: where it begins (`es.config.Gait`).
        residual: what each muscle has of its own beside; its parameters follow the gait's.
    """

    def __init__(
        self,
        head: Head,
        cycles_per_action: float,
        *,
        reflexes: config.Reflexes = "none",
        start: config.GaitStart = "typical",
        residual: Residual | None = None,
    ) -> None:
        self._selection = SELECTION[reflexes]
        self._start = start
        self._residual = residual
        self.num_settings = len(self._selection)
        self.num_params = self.num_settings + (residual.num_params if residual else 0)
        self.sizes = _sizes(residual.hidden if residual else None)
        clock = Clock(cycles_per_action, HARMONICS, learned=True, steered_by=STEERED_BY)
        self._linear = Symmetric(mirror(NAMES_GAIT), (), "tanh", head, clock)
        self.head = head

    def initial(self, rng: np.random.Generator) -> Array:
        """The typical controller, or one that tries to run; both fall. A residual begins at zero."""
        start = np.zeros(NUM_PARAMS)
        if self._start != "typical":
            phase = rng.random() if self._start == "running" else running_start.PHASE
            start = human_running.parameters(phase)
        theta = np.zeros(self.num_params)
        theta[: self.num_settings] = complete(start)[self._selection]
        return theta

    def widen(self, theta: Array, sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
        """The same parameters; reflexes and a residual of zero strength where there were none.

        Where reflexes begin, so does what heeds obstacles: a plain gait is searched for on flat ground, where
        chance alone moves those parameters.

        Raises:
            ExperimentError: those of another policy.
        """
        hidden = _hidden_units(sizes)
        known = theta.size - num_residual(sizes)
        if (
            tuple(sizes) != _sizes(hidden)
            or known not in num_params()
            or known > self.num_settings
            or (hidden is not None and (self._residual is None or hidden > self._residual.hidden))
        ):
            raise ExperimentError(
                f"warm_start.checkpoint: expected a gait policy of at most {self.num_params} parameters in "
                f"layers {list(self.sizes)}, got {theta.size} in {list(sizes)}"
            )
        wider = complete(theta[:known])
        if known < self.num_settings:
            wider[OVER] = 0.0
        widened = np.zeros(self.num_params)
        widened[: self.num_settings] = wider[self._selection]
        if self._residual and hidden is not None:
            widened[self.num_settings :] = self._residual.widen(theta[known:])
        return widened

    def network(self, theta: Array) -> Network:
        """What the compiled forward pass needs, with these parameters."""
        linear = self._linear.network(weights(theta[: self.num_settings]))
        return self._residual.added(linear, theta[self.num_settings :]) if self._residual else linear


def _hidden_units(sizes: tuple[int, ...]) -> int | None:
    """Those of the residual of a gait of these layers; None for no residual."""
    return sizes[1] if len(sizes) > len(SIZES) else None


def num_residual(sizes: tuple[int, ...]) -> int:
    """How many parameters of a gait of these layers are its residual's."""
    hidden = _hidden_units(sizes)
    return 0 if hidden is None else count_params(hidden)


def _sizes(hidden: int | None) -> tuple[int, ...]:
    return SIZES if hidden is None else (SIZES[0], hidden, SIZES[1])
