"""Learning to Run's physics without OpenSim: the compiled twin as a ``es.envs.physics.Physics``."""

from typing import Literal

import numpy as np

from es.envs import running_start
from es.envs.physics import MUSCLES, STEP_SECONDS, Array
from es.errors import SimulationError, UsageError
from es.native.model import load_model
from es.native.parameters import hertz_stiffness, pack, parameters
from es.native.rollout import Simulation
from es.native.state import ACTIVATION, COORDINATES, FIBER, SPEED
from es.native.step import look, step
from es.native.step_size import FIRST_STEP
from es.native.workspace import new_workspaces

# The task gives an obstacle of radius r the plane-strain modulus 1e6 / r, Pa (0.1 m: 1e7).
OBSTACLE_MODULUS_TIMES_RADIUS = 1e6

# Coordinates that do not move, but count in the error norm of 2017's model: those of the locked lumbar joint
# and of each obstacle's locked planar joint.
LUMBAR_COORDINATES = 1
OBSTACLE_COORDINATES = 3

Integrator = Literal["rkm", "ros2", "ros2_coarse"]
DEFAULT_ACCURACY: dict[str, float] = {"rkm": 1e-3, "ros2": 1e-2, "ros2_coarse": 1e-2}

# Where a fibre hits its shortest length, error control asks for steps of a microsecond. A runner with knees
# locked does that in one step of a hundred, and spends three quarters of its time there.
COARSE_STEP = 1e-4


class NativePhysics:
    """The compiled twin of ``gait9dof18musc``.

    The first step of the first instance on a machine compiles for about a minute; later processes load
    the result from numba's cache.

    Args:
        integrator: "rkm" takes the steps that the task's new Manager takes in OpenSim, starting afresh each
            time with 0.01 s; "ros2" is the fast implicit method, which keeps its step size;
            "ros2_coarse" the same, with steps of 0.1 ms taken as they are, whatever their error.
        accuracy: bound for Simbody's error norm; by default 1e-3 for "rkm", as in the task, and 1e-2 for
            the others.
        locked_joints: let "rkm" take the steps of 2017's model, whose locked joints count in the error norm;
            otherwise those of `es.envs.opensim_physics`, which has none. Near ties apart (a foot that clears
            an obstacle or does not) that makes no difference.

    Raises:
        UsageError: no such integrator, or an accuracy that is not positive.
    """

    def __init__(
        self,
        integrator: Integrator = "rkm",
        accuracy: float | None = None,
        *,
        locked_joints: bool = True,
    ) -> None:
        if integrator not in DEFAULT_ACCURACY:
            raise UsageError(
                f"unknown integrator {integrator!r}: choose one of {', '.join(DEFAULT_ACCURACY)}"
            )
        accuracy = DEFAULT_ACCURACY[integrator] if accuracy is None else accuracy
        if not accuracy > 0.0:
            raise UsageError(f"accuracy must be positive, got {accuracy}")
        self._accuracy = accuracy
        self._implicit = integrator != "rkm"
        self._shortest = COARSE_STEP if integrator == "ros2_coarse" else 0.0
        self._locked_joints = locked_joints
        constants = parameters(load_model())
        self._default_state = constants.default_state
        self._full_force = constants.max_force
        self._running_state = _running(self._default_state)
        self._parameters = pack(constants)
        self._workspaces = new_workspaces(constants)
        self._state = self._default_state.copy()
        self._max_force = self._full_force.copy()
        self._obstacles = np.zeros((0, 4))
        self._step_size = FIRST_STEP
        self._steps = 0

    def reset(self, obstacles: Array, strengths: Array, running: float = 0.0) -> None:
        """Stand or run at the start (see `Physics.reset`)."""
        spheres = np.asarray(obstacles, dtype=np.float64).reshape(-1, 3)
        modulus = OBSTACLE_MODULUS_TIMES_RADIUS / spheres[:, 2]
        self._obstacles = np.column_stack([spheres, hertz_stiffness(modulus)])
        self._max_force = self._full_force * np.asarray(strengths, dtype=np.float64).reshape(MUSCLES)
        self._state = running_start.blend(self._default_state, self._running_state, running)
        self._step_size = FIRST_STEP
        self._steps = 0

    def step(self, excitations: Array) -> None:
        """Advance 0.01 s with constant excitations, shape (18,), each in [0, 1].

        Raises:
            SimulationError: the integrator could not go on; the state stays where it stopped.
        """
        held = np.ascontiguousarray(excitations, dtype=np.float64)
        if held.shape != (MUSCLES,):
            raise UsageError(f"expected {MUSCLES} excitations, got an array of shape {held.shape}")
        step_size = step(
            self._state,
            held,
            self._max_force,
            self._obstacles,
            self._parameters,
            self._workspaces,
            self._implicit,
            STEP_SECONDS,
            self._step_size if self._implicit else FIRST_STEP,
            self._accuracy,
            self._shortest,
            self._coordinates,
        )
        if step_size <= 0.0:
            raise SimulationError(
                f"the compiled twin could not finish step {self._steps + 1} of the episode: its error stays"
                f" above {self._accuracy:g} however short the steps; end the episode"
            )
        self._step_size = step_size
        self._steps += 1

    @property
    def _coordinates(self) -> int:
        locked = LUMBAR_COORDINATES + OBSTACLE_COORDINATES * len(self._obstacles)
        return COORDINATES + (locked if self._locked_joints else 0)

    @property
    def state(self) -> Array:
        """A copy of the state, shape (54,), see ``es.native.state``."""
        return self._state.copy()

    def simulation(self) -> Simulation:
        """What the compiled rollout takes; it advances the state of this object."""
        return Simulation(
            self._state,
            self._max_force,
            self._obstacles,
            self._parameters,
            self._workspaces,
            self._implicit,
            FIRST_STEP,
            self._accuracy,
            self._shortest,
            self._coordinates,
        )

    def kinematics(self) -> Array:
        """Observation entries 0..35, see ``es.native.observe``; centre of mass without obstacles."""
        out = np.empty(36)
        look(self._state, self._parameters, self._workspaces, out)
        return out

    def activations(self) -> Array:
        """Muscle activations, shape (18,), model order."""
        return self._state[ACTIVATION:FIBER].copy()

    def limit_torque_square_sum(self) -> float:
        """Sum over the six leg joints of the squared coordinate limit torque, (N m)^2."""
        return float(look(self._state, self._parameters, self._workspaces, np.empty(36)))


def _running(standing: Array) -> Array:
    """The state in full run, with the activations of the ``standing`` one; shape (54,)."""
    state = standing.copy()
    state[:SPEED] = running_start.COORDINATES
    state[SPEED:ACTIVATION] = running_start.SPEEDS
    state[FIBER:] = running_start.FIBER_LENGTHS
    return state
