"""The spring of the harness (`es.envs.harness`); what it carries of the weight is in the gravity."""

from es.native.compile import inlined
from es.native.model import Array
from es.native.parameters import Parameters
from es.native.state import SPEED
from es.native.workspace import Workspace


@inlined
def hold_trunk(y: Array, p: Parameters, w: Workspace) -> None:
    """Add the torque on the pelvis tilt, coordinate 0, to ``force``."""
    w.force[0] -= p.trunk_stiffness * y[0] + p.trunk_damping * y[SPEED]
