"""Springs and dampers at the ends of the leg joints' ranges (OpenSim CoordinateLimitForce).

Stiffness rises over the transition as a smooth quintic step, torque is that stiffness times the excess, and
the damping rises with it.
"""

from es.native.compile import inlined
from es.native.model import Array
from es.native.parameters import Parameters
from es.native.state import HIP, SPEED
from es.native.workspace import Workspace


@inlined
def limit_joints(y: Array, p: Parameters, w: Workspace) -> None:
    """Fill ``limit_torque``, ``limit_stiffness`` and ``limit_damping``."""
    for leg in range(2):
        for joint in range(3):
            angle = y[HIP + 3 * leg + joint]
            over = angle - p.limit_upper[leg, joint]
            under = p.limit_lower[leg, joint] - angle
            torque, stiffness, damping = 0.0, 0.0, 0.0
            if over > 0.0 or under > 0.0:
                speed = y[SPEED + HIP + 3 * leg + joint]
                excess, sign, full = over, -1.0, p.limit_upper_stiffness[leg, joint]
                if under > 0.0:
                    excess, sign, full = under, 1.0, p.limit_lower_stiffness[leg, joint]
                transition = p.limit_transition[leg, joint]
                step, step_slope = quintic_step(excess / transition)
                step_slope *= -sign / transition
                damping = -p.limit_damping[leg, joint] * step
                torque = sign * full * step * excess + damping * speed
                stiffness = sign * full * step_slope * excess - full * step
                stiffness -= p.limit_damping[leg, joint] * step_slope * speed
            w.limit_torque[leg, joint] = torque
            w.limit_stiffness[leg, joint] = stiffness
            w.limit_damping[leg, joint] = damping


@inlined
def quintic_step(x: float) -> tuple[float, float]:
    """Smooth step from 0 at x = 0 to 1 at x = 1, and its derivative (SimTK stepUp)."""
    if x >= 1.0:
        return 1.0, 0.0
    return x * x * x * (10.0 + x * (6.0 * x - 15.0)), 30.0 * x * x * (1.0 - x) * (1.0 - x)
