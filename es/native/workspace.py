"""Intermediate results of one evaluation of the equations of motion.

Compiled functions fill and read these fields by name; each file of equations says which ones are its own.
Positions count from the pelvis origin and have the directions of the ground frame, so that numbers stay small
far down the track.
"""

from typing import NamedTuple

import numpy as np

from es.native.model import Array
from es.native.parameters import Packed, Parameters, pack


class Workspace(NamedTuple):
    """Field shapes; ``leg`` is right, left; ``segment`` 0 trunk .. 3 foot; ``joint`` 0 hip, 1 knee, 2 ankle.

    An *arrow matrix* couples base (the three pelvis coordinates) and legs, not leg and leg; its 3 x 3 blocks
    are 0 base, 1 and 2 right and left leg, 3 and 4 rows of the base by columns of a leg, 5 and 6 rows of a
    leg by columns of the base.
    """

    # skeleton.py
    origin: Array  # (leg, segment, 2), of the segment frames, m
    rotation: Array  # (leg, segment, 2), cosine and sine of the segments' angles to the ground
    joint_motion: (
        Array  # (leg, joint, 2), velocity of the pelvis origin carried along at unit joint speed, m/rad
    )
    knee_motion_rate: Array  # (leg, 2), its derivative by knee angle, seen from the femur, m/rad^2

    # path_geometry.py
    moving_point: Array  # (moving points, 2), in their segment frames, m
    moving_slope: Array  # (moving points, 2), derivatives by knee angle, m/rad
    moving_stopped: Array  # (moving points,), 1 where the knee is beyond the point's range
    muscle_length: Array  # (18,), m
    moment_arm: Array  # (18, joint), torque per unit of tension, lengthening positive (minus OpenSim's), m
    length_slope: Array  # (18, joint), derivative of length by joint angle, m/rad

    # thelen2003.py
    tendon_force: Array  # (18,), N
    inverse_cos: Array  # (18,), of the pennation angle
    tendon: Array  # (18,), tendon force over maximum isometric force
    toe_growth: Array  # (18,), exponential of the tendon's toe, 0 when slack
    strain: Array  # (18,), of the tendon
    stretch: Array  # (18,), of the fibre
    active: Array  # (18,), active force-length factor
    passive_growth: Array  # (18,), exponential of the passive force, 0 for a short fibre
    relative_force: Array  # (18,), active force over what the fibre holds isometrically
    speed: Array  # (18,), fibre velocity over the activation-dependent largest one
    speed_by_load: Array  # (18,), derivative of the fibre velocity by normalised fibre force, m/s
    tendon_by_path: Array  # (18,), derivative of tendon force by muscle length, N/m
    tendon_by_fiber: Array  # (18,), by fibre length, N/m
    speed_by_path: Array  # (18,), derivative of fibre velocity by muscle length, 1/s
    speed_by_fiber: Array  # (18,), by fibre length, 1/s
    speed_by_activation: Array  # (18,), by activation, m/s
    activation_rate_by_activation: Array  # (18,), 1/s

    # joint_limits.py
    limit_torque: Array  # (leg, joint), N m
    limit_stiffness: Array  # (leg, joint), derivative of torque by angle, N m/rad
    limit_damping: Array  # (leg, joint), derivative of torque by speed, N m s/rad

    # contact.py; a wrench is (moment about the pelvis origin, force x, force y), a motion (angular, x, y)
    # likewise
    foot_wrench: Array  # (leg, 3), N m, N
    foot_stiffness: Array  # (leg, 3, 3), derivative of the wrench by the foot's displacement
    foot_damping: Array  # (leg, 3, 3), derivative of the wrench by the foot's motion

    # dynamics.py
    foot_motion: Array  # (leg, 3)
    mass: Array  # (7, 3, 3), mass matrix, an arrow matrix
    force: Array  # (9,), generalised applied minus inertial forces, N m, N
    factored: Array  # (7, 3, 3), an arrow matrix while it is being solved

    # runge_kutta_merson.py, ros2.py
    stages: Array  # (3, 54), derivatives or increments of the state
    trial: Array  # (54,), state within a step
    error: Array  # (54,), estimated error of a step

    # ros2.py
    stiffness: Array  # (7, 3, 3), derivative of the generalised forces by the coordinates, an arrow matrix
    damping: Array  # (7, 3, 3), derivative by the speeds, an arrow matrix
    activation_gain: Array  # (18,), share of a change of the activation rate that the implicit step keeps
    fiber_gain: Array  # (18,), the same for the fibre velocity
    muscle_stiffness: Array  # (18,), derivative of tendon force by path length over the implicit step, N/m
    system: Array  # (7, 3, 3), factors of the implicit step's matrix


def new_workspaces(constants: Parameters) -> Packed:
    """Empty workspaces for these parameters, shape (2,): an implicit step needs one for each stage."""
    moving_points = len(constants.moving_range)
    per_muscle, per_joint, arrow = np.zeros(18), np.zeros((2, 3)), np.zeros((7, 3, 3))
    one = pack(
        Workspace(
            origin=np.zeros((2, 4, 2)),
            rotation=np.zeros((2, 4, 2)),
            joint_motion=np.zeros((2, 3, 2)),
            knee_motion_rate=np.zeros((2, 2)),
            moving_point=np.zeros((moving_points, 2)),
            moving_slope=np.zeros((moving_points, 2)),
            moving_stopped=np.zeros(moving_points),
            muscle_length=per_muscle,
            moment_arm=np.zeros((18, 3)),
            length_slope=np.zeros((18, 3)),
            tendon_force=per_muscle,
            inverse_cos=per_muscle,
            tendon=per_muscle,
            toe_growth=per_muscle,
            strain=per_muscle,
            stretch=per_muscle,
            active=per_muscle,
            passive_growth=per_muscle,
            relative_force=per_muscle,
            speed=per_muscle,
            speed_by_load=per_muscle,
            tendon_by_path=per_muscle,
            tendon_by_fiber=per_muscle,
            speed_by_path=per_muscle,
            speed_by_fiber=per_muscle,
            speed_by_activation=per_muscle,
            activation_rate_by_activation=per_muscle,
            limit_torque=per_joint,
            limit_stiffness=per_joint,
            limit_damping=per_joint,
            foot_wrench=per_joint,
            foot_stiffness=np.zeros((2, 3, 3)),
            foot_damping=np.zeros((2, 3, 3)),
            foot_motion=per_joint,
            mass=arrow,
            force=np.zeros(9),
            factored=arrow,
            stages=np.zeros((3, 54)),
            trial=np.zeros(54),
            error=np.zeros(54),
            stiffness=arrow,
            damping=arrow,
            activation_gain=per_muscle,
            fiber_gain=per_muscle,
            muscle_stiffness=per_muscle,
            system=arrow,
        )
    )
    return np.repeat(one, 2)
