"""Learning to Run (NIPS 2017) as a Gymnasium environment.

Kept from osim-rl 1.5, because policies and scores depend on it:

- The runner starts with its feet 3 to 4 cm inside the soft ground and its muscles not in equilibrium.
- Every obstacle is a solid sphere of radius 0.1 m, whatever radius is observed, and spheres without an
  obstacle lie just below the start, within reach of the toes (``course="intended"`` has neither).
- The "left psoas" strength is that of the left gluteus maximus.
- Obstacles weigh 0.1 g each and count in the observed centre of mass; here that is added in closed form.
- The draws of a course depend on ``max_obstacles``; a seed with 3 obstacles and with 10 shares no strengths.

Not kept:

- Reward -500 after an integrator failure. It would drown every other return of a population, for an
  accident; a failed step earns 0 and ``info`` carries the flag.
- Courses from NumPy's global stream; each environment has its own, with the same numbers for the same seed.
- Locked joints under the obstacles, which only influenced the integrator's choice of steps.
- Body positions that were sometimes out of date (a stale cache; the motion itself was right).
- First observations from before the course was set up (osim-rl until 1.4.1; 1.5 had mended it).
- Differences of the 82 values across the start of an episode (`RelativeObservation` can repeat them).
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.random import RandomState
from numpy.typing import NDArray

from es.envs.backends import make_physics
from es.envs.course import LEFT_PSOAS, RIGHT_PSOAS, Course, generate_course, next_obstacle, spheres
from es.envs.gait_observation import NAMES_GAIT, GaitObservation
from es.envs.observations import (
    BODY_MASS,
    NAMES_41,
    NAMES_82,
    OBSTACLE_MASS,
    RelativeObservation,
    add_obstacle_masses,
)
from es.envs.obstacle_contact import MARGIN, deepen
from es.envs.physics import MUSCLES, STEP_SECONDS, Array, Physics
from es.envs.rewards import checked_weights, original_reward, shaped_reward, weighted_reward
from es.errors import SimulationError, UsageError

if TYPE_CHECKING:
    from es.envs.rendering import Renderer
    from es.native import rollout

FALL_HEIGHT = 0.65

OBSERVATIONS: dict[str, tuple[tuple[str, ...], type[RelativeObservation | GaitObservation] | None]] = {
    "41": (NAMES_41, None),
    "82": (NAMES_82, RelativeObservation),
    "gait": (NAMES_GAIT, GaitObservation),
}
"""Names of the values, and what makes them of the 41."""


class Limits(NamedTuple):
    """What training can add to the task. As they stand here, they add nothing."""

    wall_speed: float = 0.0
    """Speed, m/s, of a wall behind the runner; the episode ends when it overtakes the pelvis. 0: no wall."""
    wall_grace: float = 1.0
    """When the wall passes x = 0, s."""
    lowest_tilt: float = -100.0
    """Pelvis tilt below which the episode ends, rad; negative leans forward."""
    highest_tilt: float = 100.0
    """Pelvis tilt above which it ends, rad."""
    obstacle_drop: float = 0.0
    """How far obstacles are lowered, m; at about 0.13 the highest are below the ground."""
    solid_drop: float = 0.0
    """How far the solid spheres lie below the obstacles that the runner sees, m; training on ghosts."""
    running_start: float = 0.0
    """How much of a run the episode begins with, 0 to 1 (`es.envs.running_start`)."""


class LearningToRun(gymnasium.Env[Array, Array]):
    """Run as far as possible in ten seconds, over obstacles, by exciting 18 leg muscles.

    A port of RunEnv from osim-rl 1.5, exact up to the integrator's tolerance. Ids: ``es/LearningToRun-v0``.

    **Action.** 18 excitations, held for 0.01 s; values outside [0, 1] are clipped and NaN is an error.
    Right leg 0..8, left leg 9..17:

    | index | muscle                | index | muscle                |
    |-------|-----------------------|-------|-----------------------|
    | 0, 9  | hamstrings            | 5, 14 | vasti                 |
    | 1, 10 | biceps femoris, short | 6, 15 | gastrocnemius         |
    | 2, 11 | gluteus maximus       | 7, 16 | soleus                |
    | 3, 12 | iliopsoas             | 8, 17 | tibialis anterior     |
    | 4, 13 | rectus femoris        |       |                       |

    **Observation.** 41 or 82 values, float64; tables in `es.envs.observations`.

    **Episode.** Ends (terminated) when the pelvis is below 0.65 m or the physics fails; is truncated after
    ``max_steps``. For training it can also end when the trunk tilts or the runner falls behind
    (`Limits`). A failed step is not counted: it repeats the last observation, gives reward 0 and sets
    ``info["failed"]``. (2017 gave -500 there, for an accident of the integrator the policy cannot see.)

    **Info** of every step: ``metres``, the pelvis x, which starts at 0 (the only entry of a reset's info);
    ``score``, the sum of original rewards so far, by which the 2017 challenge ranked; ``reward_original`` and
    ``reward_shaped`` of this step; ``touched``, how often a foot touched another obstacle so far; ``fell``;
    ``stopped`` by one of the `Limits`; ``failed``; ``survived``, none of these three. After a failure also
    ``failure``, the reason.

    **reset(seed=s)** draws the course and the muscle strengths of 2017's ``reset(seed=s)``; without a seed
    the environment's own stream continues. ``options`` replace what was drawn: ``obstacles``, rows of x, y,
    radius in metres, and ``strengths``, the factors of the right and the "left" psoas.

    **render** draws the runner from its right side among the *solid* obstacles, at 640 x 360 pixels.

    Args:
        render_mode: None or "rgb_array".
        difficulty: 0 flat ground, 1 obstacles, 2 obstacles and random muscle strengths.
        max_obstacles: obstacles drawn, 0 to 20. learning2run trained with 10.
        max_steps: steps of 0.01 s until the episode is truncated.
        observation: "41", the challenge's own, "82", learning2run's, or "gait"
            (`es.envs.gait_observation`).
        reward: "original", "shaped" or "weighted", the shaped one with other weights (`es.envs.rewards`).
        reward_weights: for "weighted", the weights that differ from the shaped reward's
            (`es.envs.rewards.RewardWeights`).
        course: "literal", the obstacles 2017's code really made, all of radius 0.1 m whatever is seen; or
            "intended", obstacles as large as they look (`es.envs.course.spheres`).
        backend: which physics computes the runner (`es.envs.backends`).
        integrator: the physics' integration method; "rkm" is that of 2017.
        accuracy: its error tolerance; None takes the one recommended for the integrator.
        limits: what training adds to the task, by the names of `Limits`; `configure` changes them later.

    Raises:
        UsageError: an option outside of what is listed here.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 100}  # noqa: RUF012 - Gymnasium declares it as an instance attribute

    def __init__(
        self,
        *,
        render_mode: str | None = None,
        difficulty: int = 2,
        max_obstacles: int = 3,
        max_steps: int = 1000,
        observation: str = "41",
        reward: str = "original",
        reward_weights: Mapping[str, float] | None = None,
        course: str = "literal",
        backend: str = "opensim",
        integrator: str = "rkm",
        accuracy: float | None = None,
        **limits: float,
    ) -> None:
        _check_choice("observation", observation, tuple(OBSERVATIONS))
        _check_choice("render_mode", render_mode, (None, "rgb_array"))
        _check_choice("reward", reward, ("original", "shaped", "weighted"))
        if reward_weights is not None and reward != "weighted":
            raise UsageError(f"reward_weights need reward = 'weighted', got {reward!r}")
        _check_choice("course", course, ("literal", "intended"))
        _check_range("difficulty", difficulty, 0, 2)
        _check_range("max_obstacles", max_obstacles, 0, 20)
        _check_range("max_steps", max_steps, 1, None)
        self._difficulty = difficulty
        self._max_obstacles = max_obstacles
        self._max_steps = max_steps
        self._reward = reward
        self._weights = checked_weights({} if reward_weights is None else reward_weights)
        self._course_physics = course
        self._observation_kind = observation
        self._limits = Limits()
        self.configure(**limits)
        self.observation_names, present = OBSERVATIONS[observation]
        self._present: RelativeObservation | GaitObservation | None = present() if present else None
        self._physics = make_physics(backend, integrator, accuracy)
        self._course_random = RandomState()
        self._ready = False
        self._renderer: Renderer | None = None
        self.render_mode = render_mode
        self.action_space = gymnasium.spaces.Box(0.0, 1.0, (MUSCLES,), np.float64)
        self.observation_space = gymnasium.spaces.Box(
            -np.inf, np.inf, (len(self.observation_names),), np.float64
        )

    def configure(self, **limits: float) -> None:
        """Change what training adds to the task (`Limits`), from the next episode on.

        Raises:
            UsageError: no such limit, or not a finite number.
        """
        for name, value in limits.items():
            if name not in Limits._fields:
                raise UsageError(f"expected an option of LearningToRun, got {name!r}; see its documentation")
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise UsageError(f"{name} must be a finite number, got {value!r}")
        if not 0.0 <= limits.get("running_start", 0.0) <= 1.0:
            raise UsageError(f"running_start must lie between 0 and 1, got {limits['running_start']!r}")
        self._limits = self._limits._replace(**limits)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Stand at the start of a new course (see the class). Seeds lie in 0..2**32 - 1."""
        if seed is not None:
            _check_range("seed", seed, 0, 2**32 - 1)
            self._course_random = RandomState(seed)
        super().reset(seed=seed)
        drawn = generate_course(self._course_random, self._difficulty, self._max_obstacles)
        course = _replace(drawn, options or {})
        self._course = Course(course.obstacles - [0.0, self._limits.obstacle_drop, 0.0], course.strengths)
        self._spheres = spheres(self._course.obstacles, self._course_physics, self._max_obstacles)
        self._seen_spheres = self._spheres[: len(self._course.obstacles)].copy()
        self._deepest = np.zeros((len(self._seen_spheres), 2))
        self._spheres[:, 1] -= self._limits.solid_drop
        self._physics.reset(self._spheres, self._course.strengths, self._limits.running_start)
        self._ready = True
        self._steps = 0
        self._score = 0.0
        self._observation41 = self._observe41()
        if self._present is not None:
            self._present.reset()
        self._observation = self._presented()
        return self._observation.copy(), {"metres": float(self._observation41[1])}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Hold the excitations for 0.01 s (see the class).

        Raises:
            ValueError: the action has another shape than (18,) or contains NaN.
            ResetNeeded: the environment was not reset, or its physics failed.
        """
        excitations = _excitations(action)
        if not self._ready:
            raise ResetNeeded("call reset() before step(): there is no episode, or its physics has failed")
        try:
            self._physics.step(excitations)
        except SimulationError as error:
            self._ready = False
            info = self._info(0.0, 0.0, fell=False, stopped=False, failed=True)
            return self._observation.copy(), 0.0, True, False, info | {"failure": str(error)}
        self._steps += 1

        before, self._observation41 = self._observation41, self._observe41()
        self._observation = self._presented()
        limits = self._physics.limit_torque_square_sum()
        deepened = deepen(self._observation41, self._seen_spheres, self._deepest)
        original = original_reward(before, self._observation41, limits)
        shaped = shaped_reward(self._observation41, limits)
        self._score += original
        fell = bool(self._observation41[2] < FALL_HEIGHT)
        stopped = self._stopped()
        terminated = fell or stopped
        truncated = not terminated and self._steps >= self._max_steps
        if self._reward == "original":
            reward = original
        else:
            reward = weighted_reward(before, self._observation41, limits, deepened, self._weights)
        info = self._info(original, shaped, fell=fell, stopped=stopped, failed=False)
        return self._observation.copy(), reward, terminated, truncated, info

    def render(self) -> NDArray[np.uint8] | None:
        """The runner as it stands, shape (360, 640, 3); None without ``render_mode="rgb_array"``.

        Raises:
            ResetNeeded: the environment was never reset.
        """
        if self.render_mode is None:
            return None
        if not hasattr(self, "_observation41"):
            raise ResetNeeded("call reset() before render()")
        from es.envs.rendering import COORDINATES, Renderer  # workers never draw

        self._renderer = self._renderer or Renderer()
        coordinates = self._observation41[COORDINATES]
        seconds = self._steps * STEP_SECONDS
        return self._renderer.render(coordinates, self._physics.activations(), self._spheres, seconds)

    @property
    def physics(self) -> Physics:
        """Where the runner moves."""
        return self._physics

    def told(self) -> "rollout.Course":
        """What the runner knows of this episode's course, as the compiled rollout takes it."""
        from es.native import rollout  # only hosts that simulate with the twin compile

        strengths, masses = self._course.strengths, OBSTACLE_MASS * self._spheres[:, :2].sum(axis=0)
        return rollout.Course(
            obstacles=self._course.obstacles,
            spheres=self._seen_spheres,
            strength_left=float(strengths[LEFT_PSOAS]),
            strength_right=float(strengths[RIGHT_PSOAS]),
            mass=BODY_MASS,
            total_mass=BODY_MASS + OBSTACLE_MASS * len(self._spheres),
            moment_x=float(masses[0]),
            moment_y=float(masses[1]),
        )

    def rules(self) -> "rollout.Rules":
        """This task, as the compiled rollout takes it."""
        from es.native import observation, rollout

        codes = {
            None: observation.BASIC,
            RelativeObservation: observation.RELATIVE,
            GaitObservation: observation.GAIT,
        }
        return rollout.Rules(
            observation=codes[OBSERVATIONS[self._observation_kind][1]],
            size=len(self.observation_names),
            original=self._reward == "original",
            **self._weights._asdict(),
            fall_height=FALL_HEIGHT,
            **{name: x for name, x in self._limits._asdict().items() if name in rollout.Rules._fields},
            max_steps=self._max_steps,
            action_repeat=1,
            action_noise=0.0,
        )

    def _observe41(self) -> Array:
        kinematics = add_obstacle_masses(self._physics.kinematics(), self._spheres)
        strengths = self._course.strengths[[LEFT_PSOAS, RIGHT_PSOAS]]
        obstacle = next_obstacle(self._course.obstacles, float(kinematics[1]))
        return np.concatenate([kinematics, strengths, obstacle])

    def _presented(self) -> Array:
        return self._observation41 if self._present is None else self._present(self._observation41)

    def _stopped(self) -> bool:
        tilt, x, limits = self._observation41[0], self._observation41[1], self._limits
        wall = limits.wall_speed * (self._steps * STEP_SECONDS - limits.wall_grace)
        behind = limits.wall_speed > 0 and x < wall
        return bool(tilt < limits.lowest_tilt or tilt > limits.highest_tilt or behind)

    def _info(
        self, original: float, shaped: float, *, fell: bool, stopped: bool, failed: bool
    ) -> dict[str, Any]:
        return {
            "metres": float(self._observation41[1]),
            "score": self._score,
            "reward_original": original,
            "reward_shaped": shaped,
            "touched": float(np.count_nonzero(self._deepest > MARGIN)),
            "fell": fell,
            "stopped": stopped,
            "survived": not (fell or stopped or failed),
            "failed": failed,
        }


def _excitations(action: Array) -> Array:
    action = np.asarray(action, dtype=np.float64)
    if action.shape != (MUSCLES,):
        raise ValueError(f"an action has shape ({MUSCLES},), got {action.shape}")
    if np.isnan(action).any():
        raise ValueError(f"an action must not contain NaN, got {action}")
    return np.clip(action, 0.0, 1.0)


def _replace(course: Course, options: dict[str, Any]) -> Course:
    """The course with what ``reset``'s options set."""
    unknown = options.keys() - {"obstacles", "strengths"}
    if unknown:
        raise UsageError(f"reset options are obstacles and strengths, got {', '.join(map(repr, unknown))}")
    obstacles, strengths = course.obstacles, course.strengths.copy()
    if "obstacles" in options:
        obstacles = _rows("obstacles", options["obstacles"], ("x", "y", "radius"))
        obstacles = obstacles[np.lexsort(obstacles.T[::-1])]
        if not (obstacles[:, 2] > 0).all():
            raise UsageError(f"obstacles need positive radii, got {obstacles[:, 2]}")
    if "strengths" in options:
        [factors] = _rows("strengths", [options["strengths"]], ("right", "left"))
        if not (factors > 0).all():
            raise UsageError(f"strengths must be positive, got {factors}")
        strengths[[RIGHT_PSOAS, LEFT_PSOAS]] = factors
    return Course(obstacles, strengths)


def _rows(name: str, rows: Any, columns: tuple[str, ...]) -> Array:
    """``rows`` as a finite array of shape (k, len(columns))."""
    problem = f"{name} must hold finite {', '.join(columns)}, got {rows!r}"
    try:
        array = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(problem) from error
    if array.shape == (0,):
        array = array.reshape(0, len(columns))
    if array.ndim != 2 or array.shape[1] != len(columns) or not np.isfinite(array).all():
        raise UsageError(problem)
    return array


def _check_choice(name: str, value: object, allowed: tuple[str | None, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} must be one of {', '.join(map(str, allowed))}, got {value!r}")


def _check_range(name: str, value: int, low: int, high: int | None) -> None:
    whole = isinstance(value, int | np.integer)
    if not whole or value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise UsageError(f"{name} must be a whole number, {bounds}, got {value!r}")
