"""Muscle lengths and moment arms (OpenSim GeometryPath with its fixed, conditional and moving points).

A muscle's path is a polyline; ``es.native.path_segments`` has cut it into constant parts and lines between
segments. The moment arm about a joint is the component of the far end's velocity at unit joint speed along
the line (the principle of virtual work; OpenSim applies the same generalised force, including that of a
moving point). With one exception it is the derivative of the length by the joint angle: beyond its range a
moving point stands still, but OpenSim goes on applying the force of its motion.
"""

import math

from es.native.compile import inlined
from es.native.model import Array
from es.native.parameters import Parameters
from es.native.splines import evaluate_piece, find_piece
from es.native.state import HIP, LEG_MUSCLES
from es.native.workspace import Workspace

# OpenSim's ConditionalPathPoint::isActive widens the range by this much, rad.
CONDITION_SLACK = 1e-5


@inlined
def move_path_points(y: Array, p: Parameters, w: Workspace) -> None:
    """Fill ``moving_point``, ``moving_slope`` and ``moving_stopped`` from the knee angles."""
    for row in range(p.moving_range.shape[0]):
        knee = y[HIP + 3 * p.moving_leg[row] + 1]
        # OpenSim clamps the coordinate for the location, but not for its derivative.
        inside = min(max(knee, p.moving_range[row, 0]), p.moving_range[row, 1])
        starts = p.moving_starts[row]
        piece = find_piece(starts, inside)
        x, slope_x, _ = evaluate_piece(p.moving_x[row, piece], inside - starts[piece])
        height, slope_y, _ = evaluate_piece(p.moving_y[row, piece], inside - starts[piece])
        w.moving_stopped[row] = 0.0
        if inside != knee:
            w.moving_stopped[row] = 1.0
            piece = find_piece(starts, knee)
            _, slope_x, _ = evaluate_piece(p.moving_x[row, piece], knee - starts[piece])
            _, slope_y, _ = evaluate_piece(p.moving_y[row, piece], knee - starts[piece])
        w.moving_point[row, 0], w.moving_point[row, 1] = x, height
        w.moving_slope[row, 0], w.moving_slope[row, 1] = slope_x, slope_y


@inlined
def measure_paths(y: Array, p: Parameters, w: Workspace) -> None:
    """Fill ``muscle_length``, ``moment_arm`` and ``length_slope``, once segments and points are placed."""
    for leg in range(2):
        motion = w.joint_motion[leg]
        rotation, origin = w.rotation[leg], w.origin[leg]
        for muscle in range(LEG_MUSCLES * leg, LEG_MUSCLES * (leg + 1)):
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
                near_x, near_y = _turn(rotation[near], p.segment_near[s])
                near_x += origin[near, 0]
                near_y += origin[near, 1]
                moving = p.segment_moving[s]
                far_x, far_y = _turn(
                    rotation[far], p.segment_far[s] if moving < 0 else w.moving_point[moving]
                )
                far_x += origin[far, 0]
                far_y += origin[far, 1]

                dx, dy = far_x - near_x, far_y - near_y
                distance = math.sqrt(dx * dx + dy * dy + p.segment_z2[s])
                length += distance
                inverse = 1.0 / distance
                ux, uy = dx * inverse, dy * inverse
                # Velocity of a point at (x, y) in a joint's motion: (motion x - y, motion y + x).
                swing = uy * far_x - ux * far_y
                if near == 0:
                    hip_arm += ux * motion[0, 0] + uy * motion[0, 1] + swing
                if near <= 1 and far >= 2:
                    knee_arm += ux * motion[1, 0] + uy * motion[1, 1] + swing
                if far == 3:
                    ankle_arm += ux * motion[2, 0] + uy * motion[2, 1] + swing
                if moving >= 0:
                    drift_x, drift_y = _turn(rotation[far], w.moving_slope[moving])
                    drift = ux * drift_x + uy * drift_y
                    knee_arm += drift
                    drift_arm += drift * w.moving_stopped[moving]

            w.muscle_length[muscle] = length
            w.moment_arm[muscle, 0], w.length_slope[muscle, 0] = hip_arm, hip_arm
            w.moment_arm[muscle, 1], w.length_slope[muscle, 1] = knee_arm, knee_arm - drift_arm
            w.moment_arm[muscle, 2], w.length_slope[muscle, 2] = ankle_arm, ankle_arm


@inlined
def _turn(rotation: Array, point: Array) -> tuple[float, float]:
    """A vector of a segment in ground directions; rotation is its cosine and sine."""
    return rotation[0] * point[0] - rotation[1] * point[1], rotation[1] * point[0] + rotation[0] * point[1]
