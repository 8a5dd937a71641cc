"""Muscle lengths and moment arms (OpenSim GeometryPath with PathPoint, ConditionalPathPoint and MovingPathPoint).

A muscle's path is a polyline; ``es.native.path_segments`` has cut it into constant parts and lines between segments.
The moment arm about a joint is the component of the far end's velocity at unit joint speed along the line
(the principle of virtual work; OpenSim applies the same generalised force, including that of a moving point).
With one exception it is the derivative of the length by the joint angle: beyond its range a moving point stands still,
but OpenSim goes on applying the force of its motion.
"""

import math

from es.native.compile import inlined
from es.native.model import Array
from es.native.parameters import Parameters
from es.native.splines import spline
from es.native.state import HIP, LEG_MUSCLES, MUSCLES
from es.native.workspace import Workspace

# OpenSim's ConditionalPathPoint::isActive widens the range by this much, rad.
CONDITION_SLACK = 1e-5


@inlined
def measure_paths(y: Array, p: Parameters, w: Workspace) -> None:
    """Fill ``muscle_length``, ``moment_arm`` and ``length_slope`` from the placed segments."""
    for muscle in range(MUSCLES):
        leg = muscle // LEG_MUSCLES
        joint = p.condition_joint[muscle]
        variant = 0
        if joint >= 0:
            angle = y[HIP + 3 * leg + joint]
            low, high = p.condition_range[muscle, 0], p.condition_range[muscle, 1]
            if low - CONDITION_SLACK <= angle <= high + CONDITION_SLACK:
                variant = 1

        length = p.constant_length[muscle, variant]
        hip_arm, knee_arm, ankle_arm, drift_arm = 0.0, 0.0, 0.0, 0.0
        for s in range(p.segment_range[muscle, variant, 0], p.segment_range[muscle, variant, 1]):
            near, far = p.segment_body[s, 0], p.segment_body[s, 1]
            near_x, near_y = _to_ground(w, leg, near, p.segment_near[s, 0], p.segment_near[s, 1])
            cos, sin = w.rotation[leg, far, 0], w.rotation[leg, far, 1]
            moving = p.segment_moving[s]
            if moving < 0:
                local_x, local_y = p.segment_far[s, 0], p.segment_far[s, 1]
                drift_x, drift_y = 0.0, 0.0
                stopped = False
            else:
                # OpenSim clamps the coordinate for the location, but not for its derivative.
                knee = y[HIP + 3 * leg + 1]
                inside = min(max(knee, p.moving_range[moving, 0]), p.moving_range[moving, 1])
                local_x, slope_x, _ = spline(p.moving_x[moving], inside)
                local_y, slope_y, _ = spline(p.moving_y[moving], inside)
                stopped = inside != knee
                if stopped:
                    _, slope_x, _ = spline(p.moving_x[moving], knee)
                    _, slope_y, _ = spline(p.moving_y[moving], knee)
                drift_x, drift_y = cos * slope_x - sin * slope_y, sin * slope_x + cos * slope_y
            far_x, far_y = _to_ground(w, leg, far, local_x, local_y)

            dx, dy = far_x - near_x, far_y - near_y
            distance = math.sqrt(dx * dx + dy * dy + p.segment_z2[s])
            length += distance
            ux, uy = dx / distance, dy / distance
            motion = w.joint_motion[leg]
            if near == 0:
                hip_arm += ux * (motion[0, 0] - far_y) + uy * (motion[0, 1] + far_x)
            if near <= 1 and far >= 2:
                drift = ux * drift_x + uy * drift_y
                knee_arm += ux * (motion[1, 0] - far_y) + uy * (motion[1, 1] + far_x) + drift
                if stopped:
                    drift_arm += drift
            if far == 3:
                ankle_arm += ux * (motion[2, 0] - far_y) + uy * (motion[2, 1] + far_x)

        w.muscle_length[muscle] = length
        w.moment_arm[muscle, 0] = hip_arm
        w.moment_arm[muscle, 1] = knee_arm
        w.moment_arm[muscle, 2] = ankle_arm
        w.length_slope[muscle, 0] = hip_arm
        w.length_slope[muscle, 1] = knee_arm - drift_arm
        w.length_slope[muscle, 2] = ankle_arm


@inlined
def _to_ground(w: Workspace, leg: int, segment: int, x: float, y: float) -> tuple[float, float]:
    """A point of a segment in ground directions, counted from the pelvis origin."""
    cos, sin = w.rotation[leg, segment, 0], w.rotation[leg, segment, 1]
    origin = w.origin[leg, segment]
    return origin[0] + cos * x - sin * y, origin[1] + sin * x + cos * y
