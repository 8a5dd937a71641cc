"""What the task sees of a state: 36 kinematic entries and the limit torques."""

from es.native.compile import compiled
from es.native.joint_limits import limit_joints
from es.native.model import Array
from es.native.parameters import Parameters
from es.native.skeleton import place_segments
from es.native.state import COORDINATES, HIP, SPEED
from es.native.workspace import Workspace


@compiled
def kinematics(y: Array, p: Parameters, w: Workspace, out: Array) -> None:
    """Write the kinematic observation, shape (36,): SI units, radians, ground frame.

    | entries | meaning |
    |---|---|
    | 0..2, 3..5 | pelvis tilt, x, y, and their speeds |
    | 6..11, 12..17 | hip, knee, ankle angles right and left, and their speeds |
    | 18, 19, 20, 21 | centre of mass x, y and its velocity, without obstacles |
    | 22..35 | x, y of the frames of head, pelvis, torso, left and right toes, left and right talus |
    """
    place_segments(y, p, w)
    for i in range(3):
        out[i] = y[i]
        out[3 + i] = y[SPEED + i]
    for i in range(HIP, COORDINATES):
        out[3 + i] = y[i]
        out[9 + i] = y[SPEED + i]

    _center_of_mass(y, p, w, out)

    cos, sin = w.rotation[0, 0, 0], w.rotation[0, 0, 1]
    out[22] = y[1] + cos * p.head[0] - sin * p.head[1]
    out[23] = y[2] + sin * p.head[0] + cos * p.head[1]
    out[24], out[25] = y[1], y[2]
    out[26] = y[1] + cos * p.torso[0] - sin * p.torso[1]
    out[27] = y[2] + sin * p.torso[0] + cos * p.torso[1]
    for leg in range(2):
        cos, sin = w.rotation[leg, 3, 0], w.rotation[leg, 3, 1]
        talus_x, talus_y = y[1] + w.origin[leg, 3, 0], y[2] + w.origin[leg, 3, 1]
        k = 2 * (1 - leg)  # left comes first here
        out[28 + k] = talus_x + cos * p.toes[leg, 0] - sin * p.toes[leg, 1]
        out[29 + k] = talus_y + sin * p.toes[leg, 0] + cos * p.toes[leg, 1]
        out[32 + k], out[33 + k] = talus_x, talus_y


@compiled
def _center_of_mass(y: Array, p: Parameters, w: Workspace, out: Array) -> None:
    """Write entries 18..21 of the kinematic observation."""
    cos, sin = w.rotation[0, 0, 0], w.rotation[0, 0, 1]
    x = cos * p.trunk_center[0] - sin * p.trunk_center[1]
    height = sin * p.trunk_center[0] + cos * p.trunk_center[1]
    moment_x, moment_y = p.trunk_mass * x, p.trunk_mass * height
    momentum_x = p.trunk_mass * (y[SPEED + 1] - y[SPEED] * height)
    momentum_y = p.trunk_mass * (y[SPEED + 2] + y[SPEED] * x)
    for leg in range(2):
        turn, vx, vy = y[SPEED], y[SPEED + 1], y[SPEED + 2]
        for joint in range(3):
            speed = y[SPEED + HIP + 3 * leg + joint]
            turn += speed
            vx += speed * w.joint_motion[leg, joint, 0]
            vy += speed * w.joint_motion[leg, joint, 1]
            segment = joint + 1
            cos, sin = w.rotation[leg, segment, 0], w.rotation[leg, segment, 1]
            mass = p.leg_mass[leg, joint]
            center = p.leg_center[leg, joint]
            x = w.origin[leg, segment, 0] + cos * center[0] - sin * center[1]
            height = w.origin[leg, segment, 1] + sin * center[0] + cos * center[1]
            moment_x += mass * x
            moment_y += mass * height
            momentum_x += mass * (vx - turn * height)
            momentum_y += mass * (vy + turn * x)
    out[18], out[19] = y[1] + moment_x / p.total_mass, y[2] + moment_y / p.total_mass
    out[20], out[21] = momentum_x / p.total_mass, momentum_y / p.total_mass


@compiled
def limit_torque_square_sum(y: Array, p: Parameters, w: Workspace) -> float:
    """Sum over the six leg joints of the squared limit torque, (N m)^2."""
    limit_joints(y, p, w)
    total = 0.0
    for leg in range(2):
        for joint in range(3):
            total += w.limit_torque[leg, joint] * w.limit_torque[leg, joint]
    return total
