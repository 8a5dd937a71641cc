"""What a runner can foresee: the compiled twin, kept where the runner is by what the runner is told.

The 41 values tell how the skeleton lies and moves, how strong two muscles are, and which obstacle comes next.
What they leave out follows from the start, which is always the same: activations and fibre lengths from what
the muscles were told to do, obstacles passed from what was told of them before. Of obstacles behind the next
one a runner knows nothing, and foresees none.
"""

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from es.envs.gait_observation import GaitObservation, Obstacle
from es.envs.learning_to_run import LearningToRun
from es.envs.observations import NOTHING_AHEAD
from es.envs.physics import MUSCLES, STEP_SECONDS
from es.errors import SimulationError
from es.native import observation as native_observation
from es.native import rollout as native
from es.native.network import cycles
from es.native.state import ACTIVATION, FIBER, SPEED
from es.policies.compiled_head import compiled_head
from es.policies.policy import Bound, NetworkPolicy

Array = NDArray[np.float64]
_COORDINATES, _SPEEDS = [0, 1, 2, *range(6, 12)], [3, 4, 5, *range(12, 18)]
"""Of the 41 values, in the order of the twin's state."""
_NOT_NORMALIZED = native.Normalization(np.empty(0), np.empty(0), 0.0)
_NO_NOISE, _NOT_SEEN = np.empty((0, MUSCLES)), np.empty((0, 0))


class Ahead(NamedTuple):
    """Where the runner would be."""

    metres: float
    """The pelvis' x."""
    fell: bool
    left: float
    """Of the episode, s; 0 where it has ended."""
    values: Array
    """The gait's observation there, shape (size,)."""
    activations: Array
    """Of the muscles, shape (18,)."""
    phase: float
    """Of the clock, cycles."""


class Foresight:
    """Of one episode: in turn `observe`, `ahead` as often as one likes, and `act`.

    ``obstacles`` are those it knows of by now, in the order that they became known.

    Args:
        gait: what acts.
        theta: its parameters.
        action_repeat: environment steps for which an action is held.
        max_steps: environment steps of an episode.
        known: obstacles that the runner need not see to know of.
        accuracy: of the twin.
    """

    def __init__(
        self,
        gait: NetworkPolicy,
        theta: Array,
        action_repeat: int,
        max_steps: int,
        known: Sequence[Obstacle] = (),
        accuracy: float = 0.02,
    ) -> None:
        self._gait, self._theta = gait, theta
        self._twin = LearningToRun(
            difficulty=0,
            max_obstacles=0,
            max_steps=max_steps,
            observation="gait",
            backend="native",
            integrator="ros2_coarse",
            accuracy=accuracy,
        )
        self._rules = self._twin.rules()._replace(action_repeat=action_repeat)
        head: Any = gait.head  # of one of the kinds that gaits have
        self._act = Bound(lambda _: self._acting, head)  # `ahead` needs them before the first action
        self._head = compiled_head(head)
        self._present = GaitObservation()
        self.obstacles = [*known]
        self._simulation: native.Simulation
        self._course: native.Course

    def observe(self, observation: Array) -> None:
        """Be where the runner is, shape (41,)."""
        self._observation = observation
        self._values = self._present(observation)
        _, ahead = self._present.remembered
        known = ahead[1:] in [obstacle[1:] for obstacle in self.obstacles]
        seen = observation[38] != NOTHING_AHEAD and not known
        if seen:
            self.obstacles.append(ahead)
        if seen or not self._act.actions:
            self._lay_out()
        state = self._simulation.y
        state[:SPEED], state[SPEED:ACTIVATION] = observation[_COORDINATES], observation[_SPEEDS]
        if not self._act.actions:
            self._acting = self._gait.start(self._theta, self._values)

    def ahead(self, pushes: Array, actions: int) -> Ahead:
        """So many actions from here on, or at the end of the episode.

        Args:
            pushes: added to the outputs of the gait's network for the first n actions, shape (n, 18).
            actions: at least 1.
        """
        state, (network, opening) = self._simulation.y.copy(), self._acting
        done = self._act.actions
        moment = native.Moment(
            step_size=np.array([self._simulation.step_size]),
            basic=self._observation.copy(),
            values=self._values.copy(),
            memory=native_observation.remembering(*self._present.remembered),
            deepest=np.zeros((len(self.obstacles), 2)),
            shift=self._act.shift.copy(),
            counts=np.array([done * self._rules.action_repeat, done]),
        )
        outcome = native.Outcome(
            *native.rollout(
                self._simulation._replace(y=state),
                self._course,
                self._rules,
                network,
                opening,
                self._head,
                _NOT_NORMALIZED,
                _NO_NOISE,
                _NOT_SEEN,
                moment,
                pushes,
                done + actions,
            )
        )
        fell = outcome.fell or outcome.ending != native.OK
        left = 0.0 if outcome.done else (self._rules.max_steps - outcome.length) * STEP_SECONDS
        phase = cycles(network, opening, int(moment.counts[1]), float(moment.shift[0]))
        return Ahead(outcome.metres, fell, left, moment.values, state[ACTIVATION:FIBER], phase)

    def act(self, push: Array) -> Array:
        """The action here, shape (18,), that takes the runner on.

        Args:
            push: added to the outputs of the gait's network, shape (18,).
        """
        action: Array = self._act(self._values, push)
        with contextlib.suppress(SimulationError):  # what is observed next tells better
            for _ in range(self._rules.action_repeat):
                self._twin.physics.step(action)
        return action

    def _lay_out(self) -> None:
        """Lay out the obstacles known by now; but for the first time, all else stays as it is."""
        before = self._simulation.y.copy() if self._act.actions else None
        left, right = self._observation[36:38]
        self._twin.reset(seed=0, options={"obstacles": self.obstacles, "strengths": (right, left)})
        physics: Any = self._twin.physics  # the twin's
        self._simulation, self._course = physics.simulation(), self._twin.told()
        if before is not None:
            self._simulation.y[:] = before
