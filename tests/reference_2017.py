"""The model as the 2017 code built and ran it, on OpenSim 4.6: the oracle for the lean one.

Obstacles are bodies on planar joints that are locked in place at every reset, the lumbar joint is locked,
each step makes a new Manager, and every internal step is recorded.
"""

import numpy as np
import opensim

from es.envs.course import Course, next_obstacle
from es.envs.opensim_physics import model_path, silence_log

RADIUS = 0.1


class Reference2017:
    """Observations of the 2017 environment, step by step, without its random draws and rewards."""

    def __init__(self, max_obstacles: int, accuracy: float = 1e-3) -> None:
        silence_log()
        self.accuracy = accuracy
        self.model = model = opensim.Model(str(model_path()))
        self.joints = [self._add_obstacle(i) for i in range(max_obstacles)]
        self.controller = opensim.PrescribedController()
        self.muscles = [model.getMuscles().get(i) for i in range(18)]
        self.file_forces = [muscle.getMaxIsometricForce() for muscle in self.muscles]
        for muscle in self.muscles:
            self.controller.addActuator(muscle)
            path = muscle.getAbsolutePathString()
            self.controller.prescribeControlForActuator(path, opensim.Constant(0))
        model.addController(self.controller)
        model.initSystem()

    def _add_obstacle(self, index: int) -> opensim.PlanarJoint:
        name = f"obstacle{index}"
        body = opensim.Body(name, 1e-4, opensim.Vec3(0), opensim.Inertia(1, 1, 1e-4, 0, 0, 0))
        self.model.addBody(body)
        zero = opensim.Vec3(0)
        joint = opensim.PlanarJoint(f"{name}_joint", self.model.getGround(), zero, zero, body, zero, zero)
        self.model.addJoint(joint)
        self.model.addContactGeometry(opensim.ContactSphere(RADIUS, opensim.Vec3(0), body, f"{name}_ball"))
        force = opensim.HuntCrossleyForce()
        force.setName(f"{name}_force")
        for geometry in (f"{name}_ball", "r_heel", "r_toe", "l_heel", "l_toe"):
            force.addGeometry(geometry)
        force.setStiffness(1e6 / RADIUS)
        force.setDissipation(1e-5)
        force.setStaticFriction(0)
        force.setDynamicFriction(0)
        force.setViscousFriction(0)
        self.model.addForce(force)
        return joint

    def reset(self, course: Course) -> np.ndarray:
        self.course = course
        self.state = opensim.State(self.model.initializeState())
        for joint in self.joints:
            self._place(joint, 0.0, -RADIUS)
        for joint, (x, y, _) in zip(self.joints, course.obstacles.tolist(), strict=False):
            self._place(joint, x, y)
        for muscle, force, factor in zip(
            self.muscles, self.file_forces, course.strengths.tolist(), strict=True
        ):
            muscle.setMaxIsometricForce(force * factor)
        self.steps = 0
        return self.observe()

    def _place(self, joint: opensim.PlanarJoint, x: float, y: float) -> None:
        for coordinate, value in zip(range(3), (0.0, x, y), strict=True):
            joint.get_coordinates(coordinate).setLocked(self.state, False)
            joint.get_coordinates(coordinate).setValue(self.state, value, False)
            joint.get_coordinates(coordinate).setLocked(self.state, True)

    def step(self, action: np.ndarray) -> np.ndarray:
        functions = self.controller.get_ControlFunctions()
        for i, excitation in enumerate(np.clip(action, 0, 1).tolist()):
            opensim.Constant.safeDownCast(functions.get(i)).setValue(excitation)
        manager = opensim.Manager(self.model)
        manager.setIntegratorAccuracy(self.accuracy)
        manager.initialize(self.state)
        self.steps += 1
        self.state = opensim.State(manager.integrate(0.01 * self.steps))
        return self.observe()

    def observe(self) -> np.ndarray:
        model, state = self.model, self.state
        model.realizeVelocity(state)
        planar = model.getJointSet().get("ground_pelvis")
        pelvis = [planar.get_coordinates(i) for i in range(3)]
        joints = [
            model.getJointSet().get(f"{joint}_{side}").get_coordinates(0)
            for side in "rl"
            for joint in ("hip", "knee", "ankle")
        ]
        center = model.calcMassCenterPosition(state), model.calcMassCenterVelocity(state)
        bodies = [
            model.getBodySet().get(name).getTransformInGround(state).p()
            for name in ("head", "pelvis", "torso", "toes_l", "toes_r", "talus_l", "talus_r")
        ]
        strengths = self.course.strengths
        return np.array(
            [
                *(c.getValue(state) for c in pelvis),
                *(c.getSpeedValue(state) for c in pelvis),
                *(c.getValue(state) for c in joints),
                *(c.getSpeedValue(state) for c in joints),
                *(point[axis] for point in (*center, *bodies) for axis in (0, 1)),
                strengths[11],
                strengths[3],
                *next_obstacle(self.course.obstacles, pelvis[1].getValue(state)),
            ]
        )
