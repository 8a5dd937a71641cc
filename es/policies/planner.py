"""A runner that plans: as it runs, an evolution strategy on the compiled twin searches for what to do next.

Every few actions it perturbs the plan it has, a row of pushes to the gait's drives, sixty times or so; lets
the twin try each for about a second; and goes on with the mean of the best. This is model predictive path
integral control (G. Williams, A. Aldrich, E. Theodorou 2017, J. Guidance Control Dyn. 40(2), arXiv
1509.01149) with the truncation selection of evolution strategies in place of its exponential weights, and
with what a moment is worth at the end of a try (`es.policies.worth`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from es import config
from es.envs.gait_observation import Obstacle
from es.envs.observations import NAMES_41
from es.envs.physics import MUSCLES, STEP_SECONDS
from es.errors import ExperimentError
from es.policies import worth
from es.policies.foresight import Ahead, Foresight
from es.policies.policy import NetworkPolicy, Policy
from es.policies.worth import Worth

Array = NDArray[np.float64]

SEED = 1
"""Of what plans are perturbed by; the same in each episode."""

JOINTS = np.array(
    [
        [-0.7, 0.0, -1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0],
        [-0.5, -1.0, 0.0, 0.0, 0.5, 1.0, -0.3, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.8, -1.0, 1.0],
    ]
)
"""How the muscles of a leg, in the challenge's order, flex the hip, extend the knee and flex the ankle, each
in opposition to others, shape (3, 9)."""


class Planner(Policy):
    """From the challenge's 41 values to excitations.

    Its parameters are the gait's, then those of what tells a moment's worth. ``hold`` is for how many actions
    a push is held, ``ahead`` how many a try takes.

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
        self.hold = max(1, round(settings.hold / seconds))
        self.ahead = max(1, round(settings.ahead / seconds))
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

    def bind(self, theta: Array) -> "Planning":
        """The runner with these parameters: observation, shape (41,), to excitations, shape (18,)."""
        valued = Worth(theta[self._gait.num_params :], self._settings.hidden)
        return Planning(self.foresight(theta), valued, self._settings, self.hold, self.ahead)

    def foresight(self, theta: Array, known: Sequence[Obstacle] = ()) -> Foresight:
        """What it foresees in an episode, with these parameters; see there for ``known``."""
        gait = theta[: self._gait.num_params]
        accuracy = self._settings.accuracy
        return Foresight(self._gait, gait, self._action_repeat, self._max_steps, known, accuracy)

    def _with_worth(self, gait: Array) -> Array:
        return np.concatenate([gait, np.zeros(self.num_params - gait.size)])


class Planning:
    """A planner in an episode, called with each observation in turn.

    ``plan``, shape (pushes, 18), is what it follows, right leg first; ``tries``, shape (samples, pushes, 18),
    and ``ends`` are those of its last search.

    Args:
        foresight: of the episode.
        worth: of where a try ends.
        settings: how it plans.
        hold: actions for which a push is held, and a plan followed.
        ahead: actions that a try takes.
    """

    def __init__(
        self, foresight: Foresight, worth: Worth, settings: config.Planner, hold: int, ahead: int
    ) -> None:
        self._foresight, self._worth, self._settings = foresight, worth, settings
        self._hold, self._ahead = hold, ahead
        self._rng = np.random.default_rng(SEED)
        self._actions = 0
        self.plan = np.zeros((settings.pushes, MUSCLES))
        self.tries = np.empty((0, *self.plan.shape))
        self.ends: list[Ahead] = []

    def __call__(self, observation: Array) -> Array:
        """The next action."""
        self._foresight.observe(observation)
        if self._actions % self._hold == 0:
            if self._actions:
                self.plan = np.concatenate([self.plan[1:], np.zeros((1, MUSCLES))])
            self._improve()
        self._actions += 1
        return self._foresight.act(self.plan[0])

    def _improve(self) -> None:
        """Take the mean of the best of many tries around the plan; itself, and no push, are among them."""
        settings = self._settings
        draw = _draw_joints if settings.perturbed == "joints" else _draw_muscles
        self.tries = self.plan + settings.spread * draw(self._rng, settings.samples, settings.pushes)
        self.tries[0], self.tries[1] = self.plan, 0.0
        rows = (np.repeat(each, self._hold, axis=0) for each in self.tries)
        self.ends = [self._foresight.ahead(row, self._ahead) for row in rows]
        worth = np.array([self._worth(end) for end in self.ends])
        best = np.argsort(-worth, kind="stable")[: settings.best]
        self.plan = self.tries[best].mean(axis=0)


def _draw_muscles(rng: np.random.Generator, samples: int, pushes: int) -> Array:
    """Perturbations of each muscle by itself, shape (samples, pushes, 18)."""
    return rng.standard_normal((samples, pushes, MUSCLES))


def _draw_joints(rng: np.random.Generator, samples: int, pushes: int) -> Array:
    """Perturbations of each joint, of all muscles that turn it, shape (samples, pushes, 18)."""
    draws = rng.standard_normal((samples, pushes, 2, len(JOINTS), 1))
    hip, knee, ankle = np.moveaxis(draws * JOINTS, 3, 0)
    turns: Array = hip + knee + ankle  # in order, so that it is the same on every processor
    return turns.reshape(samples, pushes, MUSCLES)
