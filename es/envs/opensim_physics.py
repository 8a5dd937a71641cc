"""The runner in OpenSim 4.6. The only file that imports opensim.

The model is gait9dof18musc.osim as osim-rl ships it. Three changes leave its dynamics alone but make it, with
ten obstacles, more than four times as fast as built like in 2017: obstacles are spheres fixed to the ground
instead of bodies on locked joints, the locked lumbar joint is a weld, and nothing is recorded.

Integrators: "rkm" at accuracy 1e-3 is the reference, the method and tolerance of 2017. "see2" at 3e-3 is for
training: about twice as fast, it ranks policies as the reference does (Spearman's correlation of shaped
returns 0.98; ``python -m tests.benchmarks.integrators``). Looser tolerances gain little and soon rank badly.
"""

import hashlib
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import opensim

from es.envs import running_start
from es.envs.physics import MUSCLES, STEP_SECONDS, Array
from es.errors import SimulationError, UsageError

MODEL_FILE = "gait9dof18musc.osim"
MODEL_SHA256 = "9003599da7b676ad98534a29d360849c30d80887ce09db758a4f94927d498aef"

INTEGRATORS = {
    # name: (Manager's integrator, recommended accuracy)
    "rkm": ("RungeKuttaMerson", 1e-3),
    "see2": ("SemiExplicitEuler2", 3e-3),
}

PELVIS = ("pelvis_tilt", "pelvis_tx", "pelvis_ty")
JOINTS = tuple(f"{joint}_{side}" for side in "rl" for joint in ("hip_flexion", "knee_angle", "ankle_angle"))
BODIES = ("head", "pelvis", "torso", "toes_l", "toes_r", "talus_l", "talus_r")
LIMITS = tuple(f"{joint}Limit_{side}" for joint in ("Hip", "Knee", "Ankle") for side in "rl")
OBSTACLE_STIFFNESS_TIMES_RADIUS = 1e6  # 2017 gave a sphere of radius r the stiffness 1e6 / r
FOOT_SPHERES = ("r_heel", "r_toe", "l_heel", "l_toe")


def model_path() -> Path:
    """The model file inside the installed osim-rl package, which is found but not imported.

    Raises:
        UsageError: osim-rl is not installed, or its model file is not the one of 2017.
    """
    advice = "install osim-rl==3.0.11"
    package = find_spec("osim")
    if package is None or not package.submodule_search_locations:
        raise UsageError(f"the package osim, which brings {MODEL_FILE}, is not installed; {advice}")
    path = Path(package.submodule_search_locations[0]) / "models" / MODEL_FILE
    if not path.is_file():
        raise UsageError(f"there is no {path}; {advice}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != MODEL_SHA256:
        raise UsageError(f"{path} should have SHA-256 {MODEL_SHA256} but has {found}; {advice}")
    return path


class OpenSimPhysics:
    """`es.envs.physics.Physics` computed by OpenSim.

    An episode depends on nothing that ran before it: the Simbody system is built anew at every reset (about
    the price of two steps), and each step starts its integrator afresh from the state alone, as in 2017.

    OpenSim's log is process-wide; making the first instance turns it off.

    Args:
        integrator: "rkm", the 2017 method (Runge-Kutta-Merson), or "see2", the fast one (semi-explicit
            Euler with step doubling).
        accuracy: relative error tolerance of the integrator; None takes 1e-3 for rkm and 3e-3 for see2.

    Raises:
        UsageError: unknown integrator, bad accuracy, or no usable model file.
    """

    def __init__(self, integrator: str = "rkm", accuracy: float | None = None) -> None:
        if integrator not in INTEGRATORS:
            raise UsageError(f"integrator must be one of {', '.join(INTEGRATORS)}, got {integrator!r}")
        method, recommended = INTEGRATORS[integrator]
        self._method = getattr(opensim.Manager, f"IntegratorMethod_{method}")
        self._accuracy = recommended if accuracy is None else float(accuracy)
        if not 0 < self._accuracy < 1:
            raise UsageError(f"accuracy must lie between 0 and 1, got {accuracy}")
        silence_log()
        self._path = model_path()
        self._runner = _Runner(self._path, 0)
        self._manager: Any = None

    def reset(self, obstacles: Array, strengths: Array, running: float = 0.0) -> None:
        """Stand or run at the start (see `Physics.reset`)."""
        self._state = self._manager = None  # they point into the system that is about to be replaced
        if len(self._runner.spheres) != len(obstacles):
            self._runner = _Runner(self._path, len(obstacles))
        self._state = self._runner.start(obstacles, strengths, running)
        self._manager = opensim.Manager(self._runner.model)
        self._manager.setWriteToStorage(False)
        self._manager.setPerformAnalyses(False)
        self._manager.setIntegratorMethod(self._method)
        self._manager.setIntegratorAccuracy(self._accuracy)
        self._steps = 0
        self._kinematics = self._runner.kinematics(self._state)

    def step(self, excitations: Array) -> None:
        """Advance 0.01 s with constant excitations (see `Physics.step`)."""
        target = (self._steps + 1) * STEP_SECONDS
        self._runner.excite(excitations)
        try:
            # The state is still realized from reading its kinematics. That matters: body positions read
            # from a copy of a state that was not may be stale (Simbody's cache keeps their old version).
            self._manager.initialize(self._state)
            self._state = self._manager.integrate(target)
            reached = self._state.getTime()
            kinematics = self._runner.kinematics(self._state)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise SimulationError(f"OpenSim could not integrate to {target:.2f} s: {reason}") from error
        if abs(reached - target) > 1e-9:
            raise SimulationError(f"OpenSim stopped at {reached:.6f} s on the way to {target:.2f} s")
        if not np.isfinite(kinematics).all():
            raise SimulationError(f"OpenSim's state at {target:.2f} s holds NaN or infinity")
        self._steps += 1
        self._kinematics = kinematics

    def kinematics(self) -> Array:
        """Observation entries 0..35 (see `Physics.kinematics`)."""
        return self._kinematics.copy()

    def limit_torque_square_sum(self) -> float:
        """Sum over the six leg joints of the squared coordinate limit torque, (N m)^2."""
        return self._runner.limit_torque_square_sum(self._state)

    def activations(self) -> Array:
        """Muscle activations, shape (18,) (see `Physics.activations`)."""
        return self._runner.activations(self._state)


class _Runner:
    """The OpenSim model among ``count`` obstacle spheres, with handles resolved once."""

    def __init__(self, path: Path, count: int) -> None:
        model = self.model = opensim.Model(str(path))
        _weld_lumbar(model)
        self.spheres = [_add_sphere(model, f"obstacle{i}") for i in range(count)]
        self._muscles = [model.getMuscles().get(i) for i in range(MUSCLES)]
        self._max_forces = [muscle.getMaxIsometricForce() for muscle in self._muscles]
        self._controller = _add_controller(model, self._muscles)
        model.finalizeConnections()
        coordinates = [model.getCoordinateSet().get(name) for name in PELVIS + JOINTS]
        self._pelvis, self._joints = coordinates[:3], coordinates[3:]
        self._bodies = [model.getBodySet().get(name) for name in BODIES]
        self._limits = [
            opensim.CoordinateLimitForce.safeDownCast(model.getForceSet().get(name)) for name in LIMITS
        ]

    def start(self, obstacles: Array, strengths: Array, running: float) -> opensim.State:
        """Build the Simbody system of a course; return its initial state, realized to velocities."""
        for (sphere, force), (x, y, radius) in zip(self.spheres, obstacles.tolist(), strict=True):
            sphere.set_location(opensim.Vec3(x, y, 0))
            sphere.setRadius(radius)
            force.setStiffness(OBSTACLE_STIFFNESS_TIMES_RADIUS / radius)
        for muscle, force, factor in zip(self._muscles, self._max_forces, strengths.tolist(), strict=True):
            muscle.setMaxIsometricForce(factor * force)
        state = self.model.initSystem()
        # Connecting the model replaced the controller's functions.
        functions = self._controller.get_ControlFunctions()
        self._excitations = [opensim.Constant.safeDownCast(functions.get(i)) for i in range(MUSCLES)]
        if running:
            self._run(state, running)
        return state

    def _run(self, state: opensim.State, share: float) -> None:
        """Change the state of one who stands to that share of a run."""
        coordinates = self._pelvis + self._joints
        standing = np.array([coordinate.getValue(state) for coordinate in coordinates])
        places = running_start.blend(standing, running_start.COORDINATES, share)
        speeds = share * running_start.SPEEDS
        for coordinate, place, speed in zip(coordinates, places.tolist(), speeds.tolist(), strict=True):
            coordinate.setValue(state, place, False)
            coordinate.setSpeedValue(state, speed)
        lengths = [muscle.getStateVariableValue(state, "fiber_length") for muscle in self._muscles]
        lengths = running_start.blend(np.array(lengths), running_start.FIBER_LENGTHS, share).tolist()
        for muscle, length in zip(self._muscles, lengths, strict=True):
            muscle.setStateVariableValue(state, "fiber_length", length)

    def excite(self, excitations: Array) -> None:
        """Hold the 18 muscles at these excitations from now on."""
        for function, excitation in zip(self._excitations, excitations.tolist(), strict=True):
            function.setValue(excitation)

    def kinematics(self, state: opensim.State) -> Array:
        """Realize velocities and read observation entries 0..35."""
        model = self.model
        model.realizeVelocity(state)
        values = [c.getValue(state) for c in self._pelvis] + [c.getSpeedValue(state) for c in self._pelvis]
        values += [c.getValue(state) for c in self._joints] + [c.getSpeedValue(state) for c in self._joints]
        points = [model.calcMassCenterPosition(state), model.calcMassCenterVelocity(state)]
        points += [body.getPositionInGround(state) for body in self._bodies]
        values += [point.get(axis) for point in points for axis in (0, 1)]
        return np.array(values)

    def limit_torque_square_sum(self, state: opensim.State) -> float:
        """Sum of the squared coordinate limit torques, (N m)^2."""
        return float(sum(limit.calcLimitForce(state) ** 2 for limit in self._limits))

    def activations(self, state: opensim.State) -> Array:
        """Read the activations from the state itself, which computes nothing."""
        return np.array([muscle.getStateVariableValue(state, "activation") for muscle in self._muscles])


class Pose(NamedTuple):
    """Where the runner's parts are, seen from its right side."""

    bodies: Array
    """Shape (len(Skeleton.bodies), 3): x, y (m) and angle (rad, counterclockwise) of each body frame."""
    muscles: list[Array]
    """18 lines of attachment and via points, shape (points, 2), m."""


class Skeleton:
    """The runner's bones and muscle paths at given coordinates: positions only, for pictures.

    Attributes:
        bodies: names of the bodies that have bones.
        meshes: the mesh files (VTK PolyData) of each, in the body's frame.
        max_forces: the muscles' maximum isometric forces, shape (18,), N.
    """

    def __init__(self) -> None:
        silence_log()
        path = model_path()
        model = self._model = opensim.Model(str(path))
        self._state = model.initSystem()
        self._coordinates = [model.getCoordinateSet().get(name) for name in PELVIS + JOINTS]
        self._muscles = [model.getMuscles().get(i) for i in range(MUSCLES)]
        self.max_forces = np.array([muscle.getMaxIsometricForce() for muscle in self._muscles])
        bodies = [model.getBodySet().get(i) for i in range(model.getBodySet().getSize())]
        files = [_mesh_files(body, path.parent / "Geometry") for body in bodies]
        self._bodies = [body for body, meshes in zip(bodies, files, strict=True) if meshes]
        self.bodies = tuple(body.getName() for body in self._bodies)
        self.meshes = tuple(meshes for meshes in files if meshes)

    def pose(self, coordinates: Array) -> Pose:
        """Assume a posture.

        Args:
            coordinates: shape (9,): pelvis tilt, x, y, then hip, knee, ankle of the right and the left leg.
        """
        for coordinate, value in zip(self._coordinates, coordinates.tolist(), strict=True):
            coordinate.setValue(self._state, value, False)
        self._model.realizePosition(self._state)
        frames = []
        for body in self._bodies:
            transform = body.getTransformInGround(self._state)
            # All joints turn about z, so two entries of the rotation matrix hold the angle.
            angle = math.atan2(transform.R().get(1, 0), transform.R().get(0, 0))
            frames.append((transform.p().get(0), transform.p().get(1), angle))
        return Pose(np.array(frames), [self._path(muscle) for muscle in self._muscles])

    def _path(self, muscle: opensim.Muscle) -> Array:
        points = muscle.getGeometryPath().getCurrentPath(self._state)
        places = [points.get(i).getLocationInGround(self._state) for i in range(points.getSize())]
        return np.array([(place.get(0), place.get(1)) for place in places])


def _mesh_files(body: opensim.Body, folder: Path) -> tuple[Path, ...]:
    count = body.getPropertyByName("attached_geometry").size()
    meshes = [opensim.Mesh.safeDownCast(body.get_attached_geometry(i)) for i in range(count)]
    return tuple(folder / mesh.get_mesh_file() for mesh in meshes if mesh is not None)


def _weld_lumbar(model: opensim.Model) -> None:
    """Replace the lumbar pin joint, locked in the file, by a weld at the same angle."""
    joints = model.updJointSet()
    pin = joints.get("back")
    angle = pin.get_coordinates(0).getDefaultValue()
    location = opensim.PhysicalOffsetFrame.safeDownCast(pin.getParentFrame()).get_translation()
    bodies = model.getBodySet()
    weld = opensim.WeldJoint(
        "back",
        bodies.get("pelvis"),
        opensim.Vec3(location),
        opensim.Vec3(0, 0, angle),
        bodies.get("torso"),
        opensim.Vec3(0),
        opensim.Vec3(0),
    )
    joints.remove(pin)
    model.addJoint(weld)


def _add_sphere(model: opensim.Model, name: str) -> tuple[opensim.ContactSphere, opensim.HuntCrossleyForce]:
    """Add a frictionless sphere fixed to the ground, which the feet can hit."""
    sphere = opensim.ContactSphere(0.1, opensim.Vec3(0), model.getGround(), name)
    model.addContactGeometry(sphere)
    force = opensim.HuntCrossleyForce()
    force.setName(f"{name}_contact")
    for geometry in (name, *FOOT_SPHERES):
        force.addGeometry(geometry)
    force.setDissipation(1e-5)
    force.setStaticFriction(0)
    force.setDynamicFriction(0)
    force.setViscousFriction(0)
    force.setTransitionVelocity(0.01)
    model.addForce(force)
    return sphere, force


def _add_controller(model: opensim.Model, muscles: list[opensim.Muscle]) -> opensim.PrescribedController:
    """Add a controller that holds each muscle at a constant excitation."""
    controller = opensim.PrescribedController()
    for muscle in muscles:
        controller.addActuator(muscle)
        controller.prescribeControlForActuator(muscle.getAbsolutePathString(), opensim.Constant(0))
    model.addController(controller)
    return controller


def silence_log() -> None:
    """Keep OpenSim from printing and from writing opensim.log, in this process."""
    opensim.Logger.removeFileSink()  # first: any message would create opensim.log in the working directory
    opensim.Logger.setLevelString("Off")
