"""The compiled functions Python calls once a step."""

from es.native import observe, ros2, runge_kutta_merson
from es.native.compile import entry_point
from es.native.model import Array
from es.native.parameters import Packed


@entry_point
def step(
    y: Array,
    excitations: Array,
    max_force: Array,
    obstacles: Array,
    packed_parameters: Packed,
    packed_workspaces: Packed,
    implicit: bool,
    duration: float,
    step_size: float,
    accuracy: float,
    shortest: float,
    coordinates: int,
) -> float:
    """Integrate the state y in place; returns the step size to go on with, or -1 if the integration failed.

    Args:
        y: shape (54,), see ``es.native.state``.
        excitations: shape (18,), held for the duration.
        max_force: maximum isometric forces of this episode, shape (18,), N.
        obstacles: shape (k, 4), see ``es.native.contact.touch``.
        packed_parameters: ``Parameters``, packed.
        packed_workspaces: two of ``Workspace``, packed.
        implicit: integrate with ROS2, not with Runge-Kutta-Merson.
        duration: s.
        step_size: to begin with, s.
        accuracy: bound for the error norm, see ``es.native.step_size``.
        shortest: of the steps of ROS2, s, see there.
        coordinates: how many the norm's means run over in Runge-Kutta-Merson, see there.
    """
    p, w, inner = packed_parameters[0], packed_workspaces[0], packed_workspaces[1]
    if implicit:
        return ros2.advance(
            y, excitations, max_force, obstacles, p, w, inner, duration, step_size, accuracy, shortest
        )
    return runge_kutta_merson.advance(
        y, excitations, max_force, obstacles, p, w, duration, step_size, accuracy, coordinates
    )


@entry_point
def look(y: Array, packed_parameters: Packed, packed_workspaces: Packed, kinematics: Array) -> float:
    """Write the kinematic observation, shape (36,); returns the sum of squared limit torques, (N m)^2."""
    observe.kinematics(y, packed_parameters[0], packed_workspaces[0], kinematics)
    return observe.limit_torque_square_sum(y, packed_parameters[0], packed_workspaces[0])
