"""The state derivative: all terms, one after the other."""

from es.native import arrow
from es.native.activation import activate_muscles
from es.native.compile import compiled, entry_point, inlined
from es.native.contact import touch
from es.native.dynamics import assemble, move_feet
from es.native.joint_limits import limit_joints
from es.native.model import Array
from es.native.parameters import Packed, Parameters
from es.native.path_geometry import measure_paths, move_path_points
from es.native.skeleton import place_segments
from es.native.state import COORDINATES, SPEED
from es.native.thelen2003 import contract_muscles, differentiate_muscles
from es.native.workspace import Workspace


@compiled
def evaluate(
    y: Array,
    excitations: Array,
    max_force: Array,
    obstacles: Array,
    p: Parameters,
    w: Workspace,
    rate: Array,
    with_partials: bool,
) -> None:
    """Everything up to, but not including, the solution for the accelerations.

    Args:
        y: state, shape (54,), see ``es.native.state``.
        excitations: shape (18,).
        max_force: maximum isometric forces of this episode, shape (18,), N.
        obstacles: shape (k, 4), see ``es.native.contact.touch``.
        p: parameters.
        w: workspace; all but the ``ros2.py`` fields are filled.
        rate: derivative of the state, shape (54,); all but the accelerations 9..17 are written.
        with_partials: also fill the derivatives an implicit method needs.
    """
    for i in range(COORDINATES):
        rate[i] = y[SPEED + i]
    place_segments(y, p, w)
    move_feet(y, w)
    move_path_points(y, p, w)
    measure_paths(y, p, w)
    contract_muscles(y, max_force, p, w, rate)
    if with_partials:
        differentiate_muscles(y, max_force, p, w)
    activate_muscles(y, excitations, p, w, rate, with_partials)
    limit_joints(y, p, w)
    touch(y, obstacles, p, w, with_partials)
    assemble(y, p, w)


@compiled
def derivative(
    y: Array, excitations: Array, max_force: Array, obstacles: Array, p: Parameters, w: Workspace, rate: Array
) -> None:
    """Write the whole derivative of the state; arguments as for ``evaluate``."""
    evaluate(y, excitations, max_force, obstacles, p, w, rate, False)
    _accelerate(w, rate)


@inlined
def _accelerate(w: Workspace, rate: Array) -> None:
    """Write the accelerations, the solution of mass matrix times accelerations = forces."""
    arrow.copy(w.mass, w.factored)
    arrow.factor(w.factored)
    arrow.solve(w.factored, w.force)
    for i in range(COORDINATES):
        rate[SPEED + i] = w.force[i]


@entry_point
def state_derivative(
    y: Array,
    excitations: Array,
    max_force: Array,
    obstacles: Array,
    packed_parameters: Packed,
    packed_workspaces: Packed,
    rate: Array,
) -> None:
    """``derivative`` for callers in Python, who read terms and partial derivatives from the workspace.

    Parameters and workspaces come packed; of the latter only the first is used.
    """
    w = packed_workspaces[0]
    evaluate(y, excitations, max_force, obstacles, packed_parameters[0], w, rate, True)
    _accelerate(w, rate)
