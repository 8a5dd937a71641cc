"""Equations of motion: mass matrix and generalised forces of the planar skeleton.

R. Featherstone, "Rigid Body Dynamics Algorithms" (2008), composite rigid bodies (chapter 6) and recursive
Newton-Euler (chapter 5), in the plane: a motion is (angular, x, y), a wrench (moment, x, y), both about the
pelvis origin and in ground directions, so that composite bodies simply add up. Same as Simbody's u-dot = M^-1
(forces - bias).
"""

from es.native.compile import inlined
from es.native.model import Array
from es.native.parameters import Parameters
from es.native.state import LEG_MUSCLES, SPEED
from es.native.workspace import Workspace

Triple = tuple[float, float, float]
Inertia = tuple[float, float, float, float]


@inlined
def move_feet(y: Array, w: Workspace) -> None:
    """Fill ``foot_motion`` from the speeds."""
    for leg in range(2):
        first = SPEED + 3 + 3 * leg
        motion = w.joint_motion[leg]
        turn, vx, vy = y[SPEED], y[SPEED + 1], y[SPEED + 2]
        for joint in range(3):
            speed = y[first + joint]
            turn += speed
            vx += motion[joint, 0] * speed
            vy += motion[joint, 1] * speed
        w.foot_motion[leg, 0], w.foot_motion[leg, 1], w.foot_motion[leg, 2] = turn, vx, vy


@inlined
def assemble(y: Array, p: Parameters, w: Workspace) -> None:
    """Fill ``mass`` and ``force`` from placed segments, muscle forces, joint limits and foot wrenches."""
    trunk = _inertia(
        w.rotation[0, 0, 0],
        w.rotation[0, 0, 1],
        0.0,
        0.0,
        p.trunk_mass,
        p.trunk_center[0],
        p.trunk_center[1],
        p.trunk_inertia,
    )
    base_motion = (y[SPEED], y[SPEED + 1], y[SPEED + 2])
    # Accelerations at zero u-dot, seen from a frame that falls up with gravity.
    base_acceleration = (
        0.0,
        base_motion[0] * base_motion[2],
        -base_motion[0] * base_motion[1] + p.gravity,
    )
    total = trunk
    needed = _inertial_force(trunk, base_motion, base_acceleration)

    for leg in range(2):
        motion = w.joint_motion[leg]
        first = SPEED + 3 + 3 * leg
        hip = (1.0, motion[0, 0], motion[0, 1])
        knee = (1.0, motion[1, 0], motion[1, 1])
        ankle = (1.0, motion[2, 0], motion[2, 1])
        hip_speed, knee_speed, ankle_speed = y[first], y[first + 1], y[first + 2]

        femur_motion = _add_scaled(base_motion, hip, hip_speed)
        tibia_motion = _add_scaled(femur_motion, knee, knee_speed)
        foot_motion = _add_scaled(tibia_motion, ankle, ankle_speed)
        femur_acceleration = _add_scaled(base_acceleration, _cross(base_motion, hip), hip_speed)
        knee_rate = _add_scaled(
            _cross(femur_motion, knee),
            (0.0, w.knee_motion_rate[leg, 0], w.knee_motion_rate[leg, 1]),
            knee_speed,
        )
        tibia_acceleration = _add_scaled(femur_acceleration, knee_rate, knee_speed)
        foot_acceleration = _add_scaled(tibia_acceleration, _cross(tibia_motion, ankle), ankle_speed)

        femur = _leg_inertia(leg, 1, p, w)
        tibia = _leg_inertia(leg, 2, p, w)
        foot = _leg_inertia(leg, 3, p, w)

        wrench = (w.foot_wrench[leg, 0], w.foot_wrench[leg, 1], w.foot_wrench[leg, 2])
        at_ankle = _add_scaled(_inertial_force(foot, foot_motion, foot_acceleration), wrench, -1.0)
        at_knee = _add_scaled(at_ankle, _inertial_force(tibia, tibia_motion, tibia_acceleration), 1.0)
        at_hip = _add_scaled(at_knee, _inertial_force(femur, femur_motion, femur_acceleration), 1.0)
        needed = _add_scaled(needed, at_hip, 1.0)

        hip_torque, knee_torque, ankle_torque = _joint_torques(leg, w)
        w.force[3 + 3 * leg] = hip_torque - _dot(hip, at_hip)
        w.force[4 + 3 * leg] = knee_torque - _dot(knee, at_knee)
        w.force[5 + 3 * leg] = ankle_torque - _dot(ankle, at_ankle)

        shank = _join(tibia, foot)
        whole = _join(femur, shank)
        total = _join(total, whole)
        by_hip = _momentum(whole, hip)
        by_knee = _momentum(shank, knee)
        by_ankle = _momentum(foot, ankle)
        block = w.mass[1 + leg]
        block[0, 0] = _dot(hip, by_hip)
        block[1, 1] = _dot(knee, by_knee)
        block[2, 2] = _dot(ankle, by_ankle)
        block[0, 1] = block[1, 0] = _dot(hip, by_knee)
        block[0, 2] = block[2, 0] = _dot(hip, by_ankle)
        block[1, 2] = block[2, 1] = _dot(knee, by_ankle)
        right, below = w.mass[3 + leg], w.mass[5 + leg]
        right[0, 0], right[1, 0], right[2, 0] = by_hip
        right[0, 1], right[1, 1], right[2, 1] = by_knee
        right[0, 2], right[1, 2], right[2, 2] = by_ankle
        for i in range(3):
            for j in range(3):
                below[j, i] = right[i, j]

    base = w.mass[0]
    mass, moment_x, moment_y, inertia = total
    base[0, 0], base[0, 1], base[0, 2] = inertia, -moment_y, moment_x
    base[1, 0], base[1, 1], base[1, 2] = -moment_y, mass, 0.0
    base[2, 0], base[2, 1], base[2, 2] = moment_x, 0.0, mass
    w.force[0], w.force[1], w.force[2] = -needed[0], -needed[1], -needed[2]


@inlined
def _joint_torques(leg: int, w: Workspace) -> Triple:
    """Torques of muscles (tension shortens the path) and joint limits at hip, knee and ankle, N m."""
    hip, knee, ankle = w.limit_torque[leg, 0], w.limit_torque[leg, 1], w.limit_torque[leg, 2]
    for m in range(LEG_MUSCLES * leg, LEG_MUSCLES * (leg + 1)):
        hip -= w.tendon_force[m] * w.moment_arm[m, 0]
        knee -= w.tendon_force[m] * w.moment_arm[m, 1]
        ankle -= w.tendon_force[m] * w.moment_arm[m, 2]
    return hip, knee, ankle


@inlined
def _leg_inertia(leg: int, segment: int, p: Parameters, w: Workspace) -> Inertia:
    return _inertia(
        w.rotation[leg, segment, 0],
        w.rotation[leg, segment, 1],
        w.origin[leg, segment, 0],
        w.origin[leg, segment, 1],
        p.leg_mass[leg, segment - 1],
        p.leg_center[leg, segment - 1, 0],
        p.leg_center[leg, segment - 1, 1],
        p.leg_inertia[leg, segment - 1],
    )


@inlined
def _inertia(
    cos: float,
    sin: float,
    origin_x: float,
    origin_y: float,
    mass: float,
    center_x: float,
    center_y: float,
    inertia: float,
) -> Inertia:
    """Mass, first moments and moment of inertia of a segment about the pelvis origin."""
    x = origin_x + cos * center_x - sin * center_y
    y = origin_y + sin * center_x + cos * center_y
    return mass, mass * x, mass * y, inertia + mass * (x * x + y * y)


@inlined
def _join(a: Inertia, b: Inertia) -> Inertia:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


@inlined
def _momentum(body: Inertia, motion: Triple) -> Triple:
    """Inertia times motion, a wrench."""
    mass, moment_x, moment_y, inertia = body
    return (
        inertia * motion[0] + moment_x * motion[2] - moment_y * motion[1],
        mass * motion[1] - moment_y * motion[0],
        mass * motion[2] + moment_x * motion[0],
    )


@inlined
def _inertial_force(body: Inertia, motion: Triple, acceleration: Triple) -> Triple:
    """Wrench that moves a body so: I a + v x* I v."""
    h = _momentum(body, motion)
    f = _momentum(body, acceleration)
    return (
        f[0] + motion[1] * h[2] - motion[2] * h[1],
        f[1] - motion[0] * h[2],
        f[2] + motion[0] * h[1],
    )


@inlined
def _cross(v: Triple, s: Triple) -> Triple:
    """Rate of change of a motion s carried along by v (Featherstone's v x s)."""
    return 0.0, v[2] * s[0] - v[0] * s[2], v[0] * s[1] - v[1] * s[0]


@inlined
def _add_scaled(a: Triple, b: Triple, scale: float) -> Triple:
    return a[0] + scale * b[0], a[1] + scale * b[1], a[2] + scale * b[2]


@inlined
def _dot(a: Triple, b: Triple) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
