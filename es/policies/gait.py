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
from es.policies.policy import Acting, Policy, alone
from es.policies.residual import Residual, count_params
from es.policies.symmetric import Clock, Symmetric

Array = NDArray[np.float64]

_STRENGTH = NAMES_GAIT.index("strength_r")
"""Of the right psoas; the other leg's is that of another muscle."""


class Gait(Policy):
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
        residual = num_residual(sizes, theta.size)
        known = theta.size - residual
        if (
            tuple(sizes) != _sizes(hidden)
            or known not in num_params()
            or known > self.num_settings
            or (hidden is not None and (self._residual is None or not self._residual.holds(hidden, residual)))
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
            widened[self.num_settings :] = self._residual.widen(theta[known:], hidden)
        return widened

    def network(self, theta: Array, observation: Array) -> Network:
        """What acts in an episode that begins with this observation."""
        linear = self._linear.network(weights(theta[: self.num_settings]))
        if not self._residual:
            return linear
        own = self._residual.at(theta[self.num_settings :], observation[_STRENGTH])
        return self._residual.added(linear, own)

    def start(self, theta: Array, observation: Array) -> Acting:
        """The same, from the first action on."""
        return alone(self.network(theta, observation))


def _hidden_units(sizes: tuple[int, ...]) -> int | None:
    """Those of the residual of a gait of these layers; None for no residual."""
    return sizes[1] if len(sizes) > len(SIZES) else None


def num_residual(sizes: tuple[int, ...], count: int, gaits: int = 1) -> int:
    """How many of the parameters are a residual's, with or without a schedule.

    Args:
        sizes: layers of the gait.
        count: of the parameters.
        gaits: how many gaits they are of, one or two.
    """
    hidden = _hidden_units(sizes)
    if hidden is None:
        return 0
    plain = count_params(hidden)
    return 2 * plain if (count - 2 * plain) // gaits in num_params() else plain


def _sizes(hidden: int | None) -> tuple[int, ...]:
    return SIZES if hidden is None else (SIZES[0], hidden, SIZES[1])
