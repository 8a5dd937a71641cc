"""Reads the model file through OpenSim and writes the numbers the compiled twin needs.

    python -m es.native.extract

This is the only file of ``es.native`` that imports OpenSim, and nothing imports it at run time. What the
twin's equations take for granted (a planar model, frames that are only shifted against each other, welded
toes) is checked here and refused with a clear error.
"""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import opensim

from es.envs.opensim_physics import model_path
from es.errors import ModelError
from es.native.model import (
    MODEL_FILE,
    Array,
    GroundContact,
    JointLimits,
    Model,
    Muscles,
    Paths,
    Skeleton,
    to_json,
)

SIDES = ("r", "l")
LEG_SEGMENTS = (("femur",), ("tibia",), ("talus", "calcn", "toes"))
JOINTS = ("hip", "knee", "ankle")
COORDINATES = ("hip_flexion", "knee_angle", "ankle_angle")
TRUNK = ("pelvis", "torso", "head")


def extract(path: Path) -> Model:
    """Everything the compiled twin needs to know of the model file.

    Raises:
        ModelError: the model is not built the way the twin's equations assume.
    """
    osim = opensim.Model(str(path))
    state = osim.initSystem()
    _check_joints(osim)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Model(
        source=f"{path.name}, SHA-256 {digest}, read by OpenSim {opensim.GetVersion()}",
        skeleton=_skeleton(osim, state),
        muscles=_muscles(osim),
        paths=_paths(osim, state),
        ground=_ground(osim, state),
        limits=_limits(osim),
    )


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ModelError(f"the compiled twin cannot represent this model: expected {what}")


def _vec(v: Any, n: int = 3) -> Array:
    return np.array([v.get(i) for i in range(n)])


def _transform(transform: Any) -> tuple[Array, Array]:
    """Origin (3,) and rotation (3, 3) of a SimTK Transform, which must outlive the reading of its parts."""
    rotation, origin = transform.R(), transform.p()
    matrix = rotation.asMat33()
    return _vec(origin), np.array([[matrix.get(i, j) for j in range(3)] for i in range(3)])


def _shift(osim: Any, state: Any, body: str, base: str) -> tuple[Array, float]:
    """Origin of one body's frame in another's, and its rotation about z, at the default pose."""
    bodies = osim.getBodySet()
    origin, rotation = _transform(bodies.get(body).findTransformBetween(state, bodies.get(base)))
    _require(abs(rotation[2, 2] - 1.0) < 1e-12, f"{body} to turn about z only")
    return origin, math.atan2(rotation[1, 0], rotation[0, 0])


def _check_joints(osim: Any) -> None:
    joints = osim.getJointSet()
    expected = {"ground_pelvis": "PlanarJoint", "back": "PinJoint", "back1": "WeldJoint"}
    for side in SIDES:
        expected |= {f"hip_{side}": "PinJoint", f"knee_{side}": "CustomJoint", f"ankle_{side}": "PinJoint"}
        expected |= {f"subtalar_{side}": "WeldJoint", f"mtp_{side}": "WeldJoint"}
    found = {joints.get(i).getName(): joints.get(i) for i in range(joints.getSize())}
    _require(found.keys() == expected.keys(), f"the joints {sorted(expected)}, got {sorted(found)}")
    for name, joint in found.items():
        _require(joint.getConcreteClassName() == expected[name], f"{name} to be a {expected[name]}")
        for frame in (joint.getParentFrame(), joint.getChildFrame()):
            origin, rotation = _transform(frame.findTransformInBaseFrame())
            _require(bool(np.array_equal(rotation, np.eye(3))), f"unturned frames at {name}")
        _require(not origin.any(), f"{name} at the origin of its child")
    _require(osim.getCoordinateSet().get("lumbar_extension").get_locked(), "a locked lumbar joint")


def _lump(masses: list[float], centers: list[Array], inertias: list[float]) -> tuple[float, Array, float]:
    """Mass, centre and inertia (parallel axis theorem) of bodies welded together, seen along z."""
    mass = float(sum(masses))
    center = np.sum([m * c for m, c in zip(masses, centers, strict=True)], axis=0) / mass
    offsets = [float(np.dot(c - center, c - center)) for c in centers]
    return mass, center, float(sum(i + m * o for i, m, o in zip(inertias, masses, offsets, strict=True)))


def _segment(osim: Any, state: Any, names: tuple[str, ...]) -> tuple[float, Array, float]:
    masses, centers, inertias = [], [], []
    for name in names:
        body = osim.getBodySet().get(name)
        products = body.getInertia().getProducts()
        _require(not _vec(products).any(), f"no products of inertia in {name}")
        origin, angle = _shift(osim, state, name, names[0])
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        masses.append(body.getMass())
        centers.append(origin[:2] + turn @ _vec(body.getMassCenter(), 2))
        inertias.append(body.getInertia().getMoments().get(2))
    return _lump(masses, centers, inertias)


def _spline(function: Any) -> Array:
    """Knots of a SimmSpline with value, first and second derivative there; shape (4, knots)."""
    spline = opensim.SimmSpline.safeDownCast(function)
    _require(spline is not None, f"a SimmSpline, got {function.getConcreteClassName()}")
    first, second = opensim.StdVectorInt(), opensim.StdVectorInt()
    first.append(0)
    second.append(0)
    second.append(0)
    knots = [spline.getX(i) for i in range(spline.getSize())]
    at = [opensim.Vector(1, x) for x in knots]
    values = [spline.calcValue(x) for x in at]
    slopes = [spline.calcDerivative(first, x) for x in at]
    curvatures = [spline.calcDerivative(second, x) for x in at]
    return np.array([knots, values, slopes, curvatures])


def _knee(osim: Any, side: str) -> tuple[Array, Array]:
    joint = opensim.CustomJoint.safeDownCast(osim.getJointSet().get(f"knee_{side}"))
    axes = [joint.getSpatialTransform().getTransformAxis(i) for i in range(6)]
    kinds = [axis.getFunction().getConcreteClassName() for axis in axes]
    _require(
        kinds == ["LinearFunction", "Constant", "Constant", "SimmSpline", "SimmSpline", "Constant"],
        f"a knee that turns about z and shifts in x and y, got {kinds}",
    )
    zero, one = opensim.Vector(1, 0.0), opensim.Vector(1, 1.0)
    turn = axes[0].getFunction()
    _require(
        turn.calcValue(zero) == 0.0 and turn.calcValue(one) == 1.0, "a knee angle that is its coordinate"
    )
    _require(
        all(axes[i].getFunction().calcValue(zero) == 0.0 for i in (1, 2, 5)),
        "a knee without constant offsets",
    )
    directions = np.array([_vec(axes[i].getAxis()) for i in (0, 3, 4)])
    _require(bool(np.array_equal(directions, np.eye(3)[[2, 0, 1]])), "knee axes z, x, y")
    return _spline(axes[3].getFunction()), _spline(axes[4].getFunction())


def _skeleton(osim: Any, state: Any) -> Skeleton:
    trunk_mass, trunk_center, trunk_inertia = _segment(osim, state, TRUNK)
    legs = [
        [_segment(osim, state, tuple(f"{b}_{s}" for b in bodies)) for bodies in LEG_SEGMENTS] for s in SIDES
    ]

    def parent_offset(joint: str) -> Array:
        return _transform(osim.getJointSet().get(joint).getParentFrame().findTransformInBaseFrame())[0]

    knees = [_knee(osim, side) for side in SIDES]
    names = ["pelvis_tilt", "pelvis_tx", "pelvis_ty", *(f"{c}_{s}" for s in SIDES for c in COORDINATES)]
    ankles = np.array([parent_offset(f"ankle_{side}") for side in SIDES])
    _require(not ankles[:, 2].any(), "ankles in the plane of the hip")
    gravity = _vec(osim.getGravity())
    _require(gravity[0] == 0.0 and gravity[2] == 0.0, "gravity along y")
    return Skeleton(
        gravity=float(-gravity[1]),
        trunk_mass=trunk_mass,
        trunk_center=trunk_center,
        trunk_inertia=trunk_inertia,
        leg_mass=np.array([[segment[0] for segment in leg] for leg in legs]),
        leg_center=np.array([[segment[1] for segment in leg] for leg in legs]),
        leg_inertia=np.array([[segment[2] for segment in leg] for leg in legs]),
        hip=np.array([parent_offset(f"hip_{side}") for side in SIDES]),
        ankle=ankles,
        torso=_shift(osim, state, "torso", "pelvis")[0][:2],
        head=_shift(osim, state, "head", "pelvis")[0][:2],
        toes=np.array([_shift(osim, state, f"toes_{side}", f"talus_{side}")[0][:2] for side in SIDES]),
        knee_x=np.array([x for x, _ in knees]),
        knee_y=np.array([y for _, y in knees]),
        default_coordinates=np.array([osim.getCoordinateSet().get(n).getDefaultValue() for n in names]),
    )


def _thelen_muscles(osim: Any) -> list[Any]:
    muscles = [osim.getMuscles().get(i) for i in range(osim.getMuscles().getSize())]
    thelen = [opensim.Thelen2003Muscle.safeDownCast(m) for m in muscles]
    _require(all(m is not None for m in thelen) and len(thelen) == 18, "18 Thelen2003Muscles")
    for m in thelen:
        _require(
            not (m.get_ignore_tendon_compliance() or m.get_ignore_activation_dynamics()),
            f"{m.getName()} with a compliant tendon and activation dynamics",
        )
    return thelen


def _muscles(osim: Any) -> Muscles:
    muscles = _thelen_muscles(osim)
    read = {
        "max_isometric_force": "getMaxIsometricForce",
        "optimal_fiber_length": "getOptimalFiberLength",
        "tendon_slack_length": "getTendonSlackLength",
        "optimal_pennation": "getPennationAngleAtOptimalFiberLength",
        "max_pennation": "get_maximum_pennation_angle",
        "max_contraction_velocity": "getMaxContractionVelocity",
        "tendon_strain": "get_FmaxTendonStrain",
        "passive_strain": "get_FmaxMuscleStrain",
        "active_shape": "get_KshapeActive",
        "passive_shape": "get_KshapePassive",
        "force_velocity_shape": "get_Af",
        "lengthening_force": "get_Flen",
        "extrapolation_threshold": "get_fv_linear_extrap_threshold",
        "activation_time": "get_activation_time_constant",
        "deactivation_time": "get_deactivation_time_constant",
        "min_activation": "get_minimum_activation",
        "default_activation": "get_default_activation",
        "default_fiber_length": "get_default_fiber_length",
    }
    values = {field: np.array([getattr(m, getter)() for m in muscles]) for field, getter in read.items()}
    return Muscles(names=tuple(m.getName() for m in muscles), **values)


def _place(osim: Any, state: Any, body: str) -> tuple[int, Array]:
    """Leg segment a body belongs to (0 trunk .. 3 foot) and its origin in the segment frame."""
    if body in TRUNK:
        _require(body == "pelvis", "muscles attached to the pelvis, not to torso or head")
        return 0, np.zeros(3)
    name, side = body.rsplit("_", 1)
    for number, bodies in enumerate(LEG_SEGMENTS, start=1):
        if name in bodies:
            origin, angle = _shift(osim, state, body, f"{bodies[0]}_{side}")
            _require(angle == 0.0, f"{body} unturned in its segment")
            return number, origin
    raise ModelError(f"the compiled twin cannot represent this model: unknown body {body}")


def _paths(osim: Any, state: Any) -> Paths:
    muscle, segment, location, condition_joint, condition_range, moving = [], [], [], [], [], []
    moving_x: list[Array] = []
    moving_y: list[Array] = []
    moving_range: list[tuple[float, float]] = []
    for number, model_muscle in enumerate(_thelen_muscles(osim)):
        path = model_muscle.getGeometryPath()
        _require(path.getWrapSet().getSize() == 0, f"no wrapping in {model_muscle.getName()}")
        points = path.getPathPointSet()
        for k in range(points.getSize()):
            point = points.get(k)
            body = point.getParentFrame().getName()
            place, origin = _place(osim, state, body)
            muscle.append(number)
            segment.append(place)
            location.append(origin + _vec(point.getLocation(state)))
            joint, limits, row = -1, (0.0, 0.0), -1
            if point.getConcreteClassName() == "ConditionalPathPoint":
                conditional = opensim.ConditionalPathPoint.safeDownCast(point)
                joint = COORDINATES.index(conditional.getCoordinate().getName()[:-2])
                limits = (conditional.get_range(0), conditional.get_range(1))
            elif point.getConcreteClassName() == "MovingPathPoint":
                mover = opensim.MovingPathPoint.safeDownCast(point)
                row = len(moving_x)
                knee = mover.getXCoordinate()
                names = {c.getName() for c in (knee, mover.getYCoordinate(), mover.getZCoordinate())}
                _require(names == {f"knee_angle_{body[-1]}"}, f"{point.getName()} to move with the knee")
                z = _spline(mover.get_z_location())
                _require(
                    not z[2:].any() and bool(np.all(z[1] == z[1, 0])), f"{point.getName()} to keep its z"
                )
                _require(not origin.any(), f"{point.getName()} on the first body of its segment")
                moving_x.append(_spline(mover.get_x_location()))
                moving_y.append(_spline(mover.get_y_location()))
                _require(
                    bool(np.array_equal(moving_x[-1][0], moving_y[-1][0])),
                    "x and y splines with the same knots",
                )
                moving_range.append((knee.getRangeMin(), knee.getRangeMax()))
            else:
                _require(point.getConcreteClassName() == "PathPoint", f"{point.getName()} to be a PathPoint")
            condition_joint.append(joint)
            condition_range.append(limits)
            moving.append(row)
    return Paths(
        muscle=np.array(muscle),
        segment=np.array(segment),
        location=np.array(location),
        condition_joint=np.array(condition_joint),
        condition_range=np.array(condition_range),
        moving=np.array(moving),
        moving_x=np.array(moving_x),
        moving_y=np.array(moving_y),
        moving_range=np.array(moving_range),
    )


def _ground(osim: Any, state: Any) -> GroundContact:
    geometry = osim.getContactGeometrySet()
    plane = opensim.ContactHalfSpace.safeDownCast(geometry.get("platform"))
    _require(plane is not None and not _vec(plane.get_location()).any(), "a ground plane through the origin")
    _, turn = _transform(plane.getTransform())
    normal = -turn[:2, 0]  # a ContactHalfSpace fills its own positive x

    centers, radii = [], []
    for side in SIDES:
        row, radius_row = [], []
        for name in (f"{side}_heel", f"{side}_toe"):
            sphere = opensim.ContactSphere.safeDownCast(geometry.get(name))
            _, origin = _place(osim, state, sphere.getFrame().getName())
            row.append(origin + _vec(sphere.get_location()))
            radius_row.append(sphere.getRadius())
        centers.append(row)
        radii.append(radius_row)
    forces = [
        opensim.HuntCrossleyForce.safeDownCast(osim.getForceSet().get(f"foot_{side}")) for side in SIDES
    ]

    def read(getter: str) -> Array:
        return np.array([getattr(force, getter)() for force in forces])

    return GroundContact(
        normal=normal,
        sphere_center=np.array(centers),
        sphere_radius=np.array(radii),
        stiffness=read("getStiffness"),
        dissipation=read("getDissipation"),
        static_friction=read("getStaticFriction"),
        dynamic_friction=read("getDynamicFriction"),
        viscous_friction=read("getViscousFriction"),
        transition_velocity=read("getTransitionVelocity"),
    )


def _limits(osim: Any) -> JointLimits:
    forces = osim.getForceSet()
    by_coordinate = {}
    for i in range(forces.getSize()):
        limit = opensim.CoordinateLimitForce.safeDownCast(forces.get(i))
        if limit is not None:
            by_coordinate[limit.get_coordinate()] = limit
    names = [[f"{coordinate}_{side}" for coordinate in COORDINATES] for side in SIDES]
    _require(set(by_coordinate) == {n for row in names for n in row}, "one limit force for each leg joint")

    def read(getter: str, scale: float) -> Array:
        return np.array([[scale * getattr(by_coordinate[n], getter)() for n in row] for row in names])

    degree = math.pi / 180.0
    return JointLimits(
        upper=read("getUpperLimit", degree),
        lower=read("getLowerLimit", degree),
        upper_stiffness=read("getUpperStiffness", 1.0 / degree),
        lower_stiffness=read("getLowerStiffness", 1.0 / degree),
        damping=read("getDamping", 1.0 / degree),
        transition=read("getTransition", degree),
    )


def main() -> None:
    """Write the extracted model beside this file."""
    opensim.Logger.setLevelString("error")
    target = Path(__file__).with_name(MODEL_FILE)
    target.write_text(to_json(extract(model_path())), encoding="utf-8")
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
