"""Where the segments of the skeleton are and how the joints move them.

Planar chain of OpenSim's PlanarJoint (pelvis), PinJoint (hip, ankle) and CustomJoint (knee: a rotation and
two splines that shift the tibia in the femur's frame).
"""

import math

from es.native.compile import inlined
from es.native.model import Array
from es.native.parameters import Parameters
from es.native.splines import evaluate_spline
from es.native.state import HIP
from es.native.workspace import Workspace


@inlined
def place_segments(y: Array, p: Parameters, w: Workspace) -> None:
    """Fill ``origin``, ``rotation``, ``joint_motion`` and ``knee_motion_rate`` from the coordinates in y."""
    trunk_cos, trunk_sin = math.cos(y[0]), math.sin(y[0])
    for leg in range(2):
        first = HIP + 3 * leg
        femur_angle = y[0] + y[first]
        tibia_angle = femur_angle + y[first + 1]
        foot_angle = tibia_angle + y[first + 2]
        femur_cos, femur_sin = math.cos(femur_angle), math.sin(femur_angle)
        tibia_cos, tibia_sin = math.cos(tibia_angle), math.sin(tibia_angle)

        hip_x = trunk_cos * p.hip[leg, 0] - trunk_sin * p.hip[leg, 1]
        hip_y = trunk_sin * p.hip[leg, 0] + trunk_cos * p.hip[leg, 1]
        shift_x, dx, ddx = evaluate_spline(p.knee_x_starts[leg], p.knee_x[leg], y[first + 1])
        shift_y, dy, ddy = evaluate_spline(p.knee_y_starts[leg], p.knee_y[leg], y[first + 1])
        knee_x = hip_x + femur_cos * shift_x - femur_sin * shift_y
        knee_y = hip_y + femur_sin * shift_x + femur_cos * shift_y
        ankle_x = knee_x + tibia_cos * p.ankle[leg, 0] - tibia_sin * p.ankle[leg, 1]
        ankle_y = knee_y + tibia_sin * p.ankle[leg, 0] + tibia_cos * p.ankle[leg, 1]

        w.rotation[leg, 0, 0], w.rotation[leg, 0, 1] = trunk_cos, trunk_sin
        w.rotation[leg, 1, 0], w.rotation[leg, 1, 1] = femur_cos, femur_sin
        w.rotation[leg, 2, 0], w.rotation[leg, 2, 1] = tibia_cos, tibia_sin
        w.rotation[leg, 3, 0], w.rotation[leg, 3, 1] = math.cos(foot_angle), math.sin(foot_angle)
        w.origin[leg, 1, 0], w.origin[leg, 1, 1] = hip_x, hip_y
        w.origin[leg, 2, 0], w.origin[leg, 2, 1] = knee_x, knee_y
        w.origin[leg, 3, 0], w.origin[leg, 3, 1] = ankle_x, ankle_y

        # A rotation about (a, b) carries the pelvis origin with velocity (b, -a).
        w.joint_motion[leg, 0, 0], w.joint_motion[leg, 0, 1] = hip_y, -hip_x
        w.joint_motion[leg, 1, 0] = knee_y + femur_cos * dx - femur_sin * dy
        w.joint_motion[leg, 1, 1] = -knee_x + femur_sin * dx + femur_cos * dy
        w.joint_motion[leg, 2, 0], w.joint_motion[leg, 2, 1] = ankle_y, -ankle_x
        rate_x, rate_y = dy + ddx, -dx + ddy
        w.knee_motion_rate[leg, 0] = femur_cos * rate_x - femur_sin * rate_y
        w.knee_motion_rate[leg, 1] = femur_sin * rate_x + femur_cos * rate_y
