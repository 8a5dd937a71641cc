"""A runner that plans: as it runs, an evolution strategy on the compiled twin searches for what to do next.

Every few actions it perturbs the plan it has, a row of pushes to the gait's drives, sixty times or so; lets
the twin try each for about a second; and goes on with the mean of the best. This is model predictive path
integral control (G. Williams, A. Aldrich, E. Theodorou 2017, J. Guidance Control Dyn. 40(2), arXiv
1509.01149) with the truncation selection of evolution strategies in place of its exponential weights, and
with what a moment is worth at the end of a try (`es.policies.worth`).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from es import config
from es.envs.observations import NAMES_41
from es.envs.physics import MUSCLES, STEP_SECONDS
from es.errors import ExperimentError
from es.policies import worth
from es.policies.foresight import Foresight
from es.policies.policy import NetworkPolicy, Policy
from es.policies.worth import Worth

Array = NDArray[np.float64]

SEED = 1
"""Of what plans are perturbed by; the same in each episode."""


class Planner(Policy):
    """From the challenge's 41 values to excitations.

    Its parameters are the gait's, then those of what tells a moment's worth.

    Args:
        gait: that it plans around, with a head that can be compiled.
        settings: how it plans.
        action_repeat: environment steps for which an action is held.
        max_steps: environment steps of an episode.
    """

    def __init__(
        self, gait: NetworkPolicy, settings: config.Planner, action_repeat: int, max_steps: int
    ) -> None:
        self._gait, self._settings = gait, settings
        self._action_repeat, self._max_steps = action_repeat, max_steps
        seconds = STEP_SECONDS * action_repeat
        self._hold = max(1, round(settings.hold / seconds))
        self._ahead = max(1, round(settings.ahead / seconds))
        self.sizes = (len(NAMES_41), *gait.sizes, settings.hidden)
        self.num_params = gait.num_params + worth.count_params(settings.hidden)
        self.head = gait.head

    def initial(self, rng: np.random.Generator) -> Array:
        """Where the gait begins, and no foresight beyond what is tried."""
        return self._with_worth(self._gait.initial(rng))

    def widen(self, theta: Array, sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
        """The same, or those of a gait that may become its own, and no foresight beyond what is tried.

        Raises:
            ExperimentError: those of another policy.
        """
        if tuple(sizes) == self.sizes and theta.size == self.num_params:
            return theta.copy()
        if sizes[0] == len(NAMES_41):
            raise ExperimentError(
                f"warm_start.checkpoint: expected a gait or a planner of layers {list(self.sizes)}, got "
                f"layers {list(sizes)}"
            )
        return self._with_worth(self._gait.widen(theta, sizes, rng))

    def bind(self, theta: Array) -> Callable[[Array], Array]:
        """The runner with these parameters: observation, shape (41,), to excitations, shape (18,)."""
        gait, rest = np.split(theta, [self._gait.num_params])
        foresight = Foresight(self._gait, gait, self._action_repeat, self._max_steps)
        valued, settings = Worth(rest, self._settings.hidden), self._settings
        rng = np.random.default_rng(SEED)
        plan = np.zeros((settings.pushes, MUSCLES))
        held = 0

        def act(observation: Array) -> Array:
            nonlocal plan, held
            foresight.observe(observation)
            if held == self._hold:
                plan, held = np.concatenate([plan[1:], np.zeros((1, MUSCLES))]), 0
            if held == 0:
                plan = self._improved(plan, foresight, valued, rng)
            held += 1
            return foresight.act(plan[0])

        return act

    def _improved(self, plan: Array, foresight: Foresight, valued: Worth, rng: np.random.Generator) -> Array:
        """The mean of the best of many tries around a plan; that plan, and none, are among them."""
        settings = self._settings
        tries = plan + settings.spread * rng.standard_normal((settings.samples, *plan.shape))
        tries[0], tries[1] = plan, 0.0
        ends = [valued(foresight.ahead(np.repeat(each, self._hold, axis=0), self._ahead)) for each in tries]
        best = np.argsort(-np.array(ends), kind="stable")[: settings.best]
        improved: Array = tries[best].mean(axis=0)
        return improved

    def _with_worth(self, gait: Array) -> Array:
        return np.concatenate([gait, np.zeros(self.num_params - gait.size)])
