"""OpenSim's own answers for the compiled twin's tests.

    python -m tests.native_oracle

writes the one that takes long: three seconds of random excitation at accuracy 1e-5.
"""

from pathlib import Path
from typing import Any

import numpy as np
import opensim

from es.envs.opensim_physics import model_path
from es.native.model import Array

LONG_TRAJECTORY = Path(__file__).parent / "golden" / "native_opensim_rkm_1e-5.npz"
OBSTACLE_STIFFNESS = 1e6  # divided by the radius, as the 2017 task sets it


class OpenSimRunner:
    """gait9dof18musc with spheres fixed to the ground as obstacles.

    State vectors are those of ``es.native.state``.

    Args:
        obstacles: shape (k, 3), centre x, centre y and radius, m.
        welded: weld the lumbar joint. Left locked, as in the model file, it moves as little, but its
            coordinate counts in the integrator's error norm.
    """

    def __init__(self, obstacles: Array | None = None, welded: bool = True) -> None:
        opensim.Logger.setLevelString("off")
        self.obstacles = np.zeros((0, 3)) if obstacles is None else np.asarray(obstacles, dtype=float)
        self.model = opensim.Model(str(model_path()))
        if welded:
            self._weld_lumbar()
        for i, (x, y, radius) in enumerate(self.obstacles):
            self._add_obstacle(i, float(x), float(y), float(radius))
        self.controller = opensim.PrescribedController()
        muscles = self.model.getMuscles()
        for i in range(muscles.getSize()):
            self.controller.addActuator(muscles.get(i))
            path = muscles.get(i).getAbsolutePathString()
            self.controller.prescribeControlForActuator(path, opensim.Constant(0.0))
        self.model.addController(self.controller)
        self.state = self.model.initSystem()
        functions = self.controller.get_ControlFunctions()
        self._controls = [opensim.Constant.safeDownCast(functions.get(i)) for i in range(18)]
        self.muscles = [opensim.Thelen2003Muscle.safeDownCast(muscles.get(i)) for i in range(18)]
        self.max_force = np.array([m.getMaxIsometricForce() for m in self.muscles])
        self._all_default = self.state.getY().to_numpy()
        names = ["pelvis_tilt", "pelvis_tx", "pelvis_ty"]
        names += [
            f"{joint}_{side}" for side in "rl" for joint in ("hip_flexion", "knee_angle", "ankle_angle")
        ]
        self.coordinates = [self.model.getCoordinateSet().get(name) for name in names]
        self._order = self._find_order()
        self._manager: Any = None
        self._restart = False
        self._steps = 0

    def _find_order(self) -> Array:
        """Where each entry of a state vector stands in OpenSim's Y."""
        names = ["ground_pelvis/pelvis_tilt", "ground_pelvis/pelvis_tx", "ground_pelvis/pelvis_ty"]
        for side in "rl":
            names += [f"hip_{side}/hip_flexion_{side}", f"knee_{side}/knee_angle_{side}"]
            names += [f"ankle_{side}/ankle_angle_{side}"]
        paths = [f"/jointset/{name}/{part}" for part in ("value", "speed") for name in names]
        muscles = [m.getName() for m in self.muscles]
        paths += [f"/forceset/{m}/{part}" for part in ("activation", "fiber_length") for m in muscles]
        probe = opensim.State(self.state)
        probe.setY(opensim.Vector.createFromMat(np.arange(float(len(self._all_default)))))
        return np.array([int(self.model.getStateVariableValue(probe, path)) for path in paths])

    def _weld_lumbar(self) -> None:
        joints = self.model.updJointSet()
        pelvis, torso = self.model.getBodySet().get("pelvis"), self.model.getBodySet().get("torso")
        back = joints.get("back")
        where = opensim.Vec3(back.getParentFrame().findTransformInBaseFrame().p())
        angle = self.model.getCoordinateSet().get("lumbar_extension").getDefaultValue()
        joints.remove(joints.getIndex("back"))
        zero = opensim.Vec3(0)
        weld = opensim.WeldJoint("back", pelvis, where, opensim.Vec3(0, 0, angle), torso, zero, zero)
        self.model.addJoint(weld)

    def _add_obstacle(self, i: int, x: float, y: float, radius: float) -> None:
        ground = self.model.getGround()
        sphere = opensim.ContactSphere(radius, opensim.Vec3(x, y, 0), ground, f"ball_{i}")
        self.model.addContactGeometry(sphere)
        contact = opensim.HuntCrossleyForce()
        contact.setName(f"ball_force_{i}")
        for name in (f"ball_{i}", "r_heel", "r_toe", "l_heel", "l_toe"):
            contact.addGeometry(name)
        contact.setStiffness(OBSTACLE_STIFFNESS / radius)
        contact.setDissipation(1e-5)
        contact.setStaticFriction(0.0)
        contact.setDynamicFriction(0.0)
        contact.setViscousFriction(0.0)
        contact.setTransitionVelocity(0.01)
        self.model.addForce(contact)

    def set_strengths(self, strengths: Array) -> None:
        """Scale the maximum isometric forces."""
        for muscle, force, strength in zip(self.muscles, self.max_force, strengths, strict=True):
            muscle.setMaxIsometricForce(float(force * strength))

    def set_excitations(self, excitations: Array) -> None:
        """Constant excitations from now on."""
        for control, value in zip(self._controls, excitations, strict=True):
            control.setValue(float(value))

    def set_state(self, y: Array) -> None:
        """Put a state vector into OpenSim's state."""
        in_their_order = self._all_default.copy()
        in_their_order[self._order] = y
        self.state.setY(opensim.Vector.createFromMat(in_their_order))

    def get_state(self) -> Array:
        """The state vector of OpenSim's state."""
        return self.state.getY().to_numpy()[self._order]

    def derivative(self) -> Array:
        """OpenSim's derivative of the state vector."""
        self.model.realizeAcceleration(self.state)
        return self.state.getYDot().to_numpy()[self._order]

    def kinematics(self) -> Array:
        """Observation entries 0..35 as OpenSim computes them."""
        state, bodies = self.state, self.model.getBodySet()
        self.model.realizeVelocity(state)
        y = self.get_state()
        center = self.model.calcMassCenterPosition(state)
        velocity = self.model.calcMassCenterVelocity(state)
        entries = [*y[:3], *y[9:12], *y[3:9], *y[12:18]]
        entries += [center.get(0), center.get(1), velocity.get(0), velocity.get(1)]
        for name in ("head", "pelvis", "torso", "toes_l", "toes_r", "talus_l", "talus_r"):
            origin = bodies.get(name).getPositionInGround(state)
            entries += [origin.get(0), origin.get(1)]
        return np.array(entries)

    def foot_forces(self) -> Array:
        """Force of ground and obstacles on each foot, shape (2 legs, x and y), N; after ``derivative``."""
        total = np.zeros((2, 2))
        forces = self.model.getForceSet()
        for name in ["foot_r", "foot_l", *(f"ball_force_{i}" for i in range(len(self.obstacles)))]:
            force = forces.get(name)
            labels, values = force.getRecordLabels(), force.getRecordValues(self.state)
            for i in range(labels.getSize()):
                for leg, side in enumerate("rl"):
                    for axis, letter in enumerate("XY"):
                        if labels.get(i).endswith(f"_{side}.force.{letter}"):
                            total[leg, axis] += values.get(i)
        return total

    def limit_torques(self) -> Array:
        """Torques of the joint limits, shape (2 legs, hip knee ankle), N m."""
        forces = self.model.getForceSet()
        names = [[f"{joint}Limit_{side}" for joint in ("Hip", "Knee", "Ankle")] for side in "rl"]
        limits = [[opensim.CoordinateLimitForce.safeDownCast(forces.get(n)) for n in row] for row in names]
        return np.array([[limit.calcLimitForce(self.state) for limit in row] for row in limits])

    def moment_arms(self) -> Array:
        """Moment arms about a muscle's hip, knee and ankle, shape (18, 3), shortening positive, m."""
        return np.array(
            [
                [
                    muscle.getGeometryPath().computeMomentArm(self.state, coordinate)
                    for coordinate in self.coordinates[3 + 3 * (m // 9) : 6 + 3 * (m // 9)]
                ]
                for m, muscle in enumerate(self.muscles)
            ]
        )

    def start(self, accuracy: float, restart: bool = False, method: str = "RungeKuttaMerson") -> None:
        """Begin an integration from the current state.

        Args:
            accuracy: of Simbody's integrator.
            restart: forget the step size after every control step, as the task's new Manager does.
            method: one of the Manager's integrators.
        """
        self.state.setTime(0.0)
        self._manager = opensim.Manager(self.model)
        self._manager.setIntegratorMethod(getattr(opensim.Manager, f"IntegratorMethod_{method}"))
        self._manager.setIntegratorAccuracy(accuracy)
        self._manager.setPerformAnalyses(False)
        self._manager.setWriteToStorage(False)
        self._manager.initialize(self.state)
        self._steps, self._restart = 0, restart

    def advance(self, excitations: Array) -> Array:
        """Integrate 0.01 s on and return the new state vector."""
        self.set_excitations(excitations)
        if self._restart and self._steps:
            self._manager.initialize(self.state)
        self._steps += 1
        self.state = self._manager.integrate(0.01 * self._steps)
        return self.get_state()


def main() -> None:
    """Write the long trajectory."""
    excitations = np.repeat(np.random.default_rng(15).random((60, 18)), 5, axis=0)
    runner = OpenSimRunner(welded=False)
    runner.start(1e-5, restart=True)
    pelvis = np.array([runner.advance(row)[1:3] for row in excitations])
    LONG_TRAJECTORY.parent.mkdir(exist_ok=True)
    np.savez_compressed(LONG_TRAJECTORY, excitations=excitations, pelvis=pelvis)
    print(f"wrote {LONG_TRAJECTORY}")


if __name__ == "__main__":
    main()
