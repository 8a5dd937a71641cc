"""Muscle with a compliant tendon: fibre velocity and tendon force (OpenSim Thelen2003Muscle).

D. G. Thelen, "Adjustment of muscle mechanics model parameters to simulate dynamic contractions in older
adults", J. Biomech. Eng. 125 (2003) 70-77; curves and clamps as in OpenSim's class. Forces are in units of
the maximum isometric force, stretch in optimal fibre lengths, strain in tendon slack lengths, unless a unit
is given.

The tendon carries the fibre: with pennation angle phi, f_tendon = (a f_l f_v + f_passive) cos(phi). Solved
for f_v and inverted, that gives the fibre velocity; the speed of the path plays no role, and fibres have no
damping.

The loops have no branches and no fixed length, so that the compiler works on several muscles at a time.
"""

import math

from es.native.compile import inlined
from es.native.exponential import exponential
from es.native.model import Array
from es.native.parameters import Parameters
from es.native.state import ACTIVATION, FIBER
from es.native.workspace import Workspace

# Keeps the pennation of an unpennated fibre of no length at zero, m.
_NO_LENGTH = 1e-12


@inlined
def contract_muscles(y: Array, max_force: Array, p: Parameters, w: Workspace, rate: Array) -> None:
    """Fill ``tendon_force`` and the fibre velocities in rate, with what ``differentiate_muscles`` needs.

    Args:
        y: state, shape (54,).
        max_force: maximum isometric forces of this episode, shape (18,), N.
        p: parameters.
        w: workspace with ``muscle_length``.
        rate: derivative of the state, shape (54,); entries 36..53 are written, m/s.
    """
    for m in range(max_force.shape[0]):
        fiber = max(y[FIBER + m], p.min_length[m])
        activation = min(max(y[ACTIVATION + m], p.min_activation[m]), 1.0)

        # Pennation: a parallelogram of constant height. OpenSim caps the angle.
        sin_phi = p.pennation_height[m] / max(fiber, _NO_LENGTH)
        cos_phi = math.sqrt(max(1.0 - sin_phi * sin_phi, 0.0))
        cos_phi = cos_phi if sin_phi < p.max_sin_pennation[m] else p.min_cos_pennation[m]
        inverse_cos = 1.0 / cos_phi

        # Tendon: slack, an exponential toe up to a third of the force, then a line.
        strain = (w.muscle_length[m] - fiber * cos_phi) * p.inverse_slack_length[m] - 1.0
        toe_strain = p.tendon_toe_strain[m]
        toe_growth = exponential(p.tendon_toe_rate[m] * min(max(strain, 0.0), toe_strain))
        tendon = p.tendon_toe_factor[m] * (toe_growth - 1.0) + p.tendon_slope[m] * max(
            strain - toe_strain, 0.0
        )

        stretch = fiber * p.inverse_optimal_length[m] - 1.0
        active = exponential(-stretch * stretch * p.inverse_active_shape[m])
        passive_growth = exponential(p.passive_rate[m] * max(stretch, 0.0))
        passive = p.passive_factor[m] * (passive_growth - 1.0)

        # Thelen's equations 6 and 7, inverted: velocity against x = f_v; below zero and near the largest
        # lengthening force the curve goes on as a line.
        inverse_capacity = 1.0 / (activation * active)
        x = (tendon * inverse_cos - passive) * inverse_capacity
        inside = min(max(x, 0.0), p.extrapolation_start[m])
        shortening = inside <= 1.0
        lengthening_rate = p.lengthening_rate[m]
        below = 1.0 + p.shortening_shape[m] * inside
        above = lengthening_rate * (p.lengthening_force[m] - inside)
        inverse = 1.0 / (below if shortening else above)
        rise = (
            1.0 + p.shortening_shape[m] if shortening else lengthening_rate * (p.lengthening_force[m] - 1.0)
        )
        speed_slope = rise * inverse * inverse
        speed = (inside - 1.0) * inverse + speed_slope * (x - inside)
        scale = p.max_speed[m] * (0.25 + 0.75 * activation)

        # A fibre at its shortest can only lengthen.
        stuck = (y[FIBER + m] <= p.min_length[m]) & (speed <= 0.0)
        rate[FIBER + m] = 0.0 if stuck else scale * speed

        w.tendon_force[m] = max_force[m] * tendon
        w.inverse_cos[m] = inverse_cos
        w.tendon[m] = tendon
        w.toe_growth[m] = toe_growth if strain > 0.0 else 0.0
        w.strain[m] = strain
        w.stretch[m] = stretch
        w.active[m] = active
        w.passive_growth[m] = passive_growth if stretch > 0.0 else 0.0
        w.relative_force[m] = x
        w.speed[m] = speed
        w.speed_by_load[m] = 0.0 if stuck else scale * speed_slope * inverse_capacity


@inlined
def differentiate_muscles(y: Array, max_force: Array, p: Parameters, w: Workspace) -> None:
    """Fill ``tendon_by_*`` and ``speed_by_*`` after ``contract_muscles``; arguments as there."""
    for m in range(max_force.shape[0]):
        fiber = max(y[FIBER + m], p.min_length[m])
        activation = min(max(y[ACTIVATION + m], p.min_activation[m]), 1.0)
        toe = p.tendon_toe_factor[m] * p.tendon_toe_rate[m] * w.toe_growth[m]
        by_strain = p.tendon_slope[m] if w.strain[m] > p.tendon_toe_strain[m] else toe
        by_path = by_strain * p.inverse_slack_length[m]
        inverse_cos = w.inverse_cos[m]
        w.tendon_by_path[m] = max_force[m] * by_path
        clamped = y[FIBER + m] <= p.min_length[m]
        w.tendon_by_fiber[m] = 0.0 if clamped else -max_force[m] * by_path * inverse_cos

        by_load = w.speed_by_load[m]
        w.speed_by_path[m] = by_load * by_path * inverse_cos
        # The load is f_tendon / cos(phi) - f_passive.
        tan2 = inverse_cos * inverse_cos - 1.0
        passive_slope = (
            p.passive_factor[m] * p.passive_rate[m] * w.passive_growth[m] * p.inverse_optimal_length[m]
        )
        load_by_fiber = -by_path * inverse_cos * inverse_cos - passive_slope
        load_by_fiber -= w.tendon[m] * inverse_cos * tan2 / max(fiber, _NO_LENGTH)
        # The isometric capacity a f_l divides the load.
        log_active_by_fiber = -2.0 * w.stretch[m] * p.inverse_active_shape[m] * p.inverse_optimal_length[m]
        capacity = activation * w.active[m]
        load_by_fiber -= w.relative_force[m] * capacity * log_active_by_fiber
        w.speed_by_fiber[m] = 0.0 if clamped else by_load * load_by_fiber
        free = activation == y[ACTIVATION + m]
        moving = 0.75 * p.max_speed[m] * w.speed[m] if by_load > 0.0 else 0.0
        by_activation = moving - by_load * w.relative_force[m] * w.active[m]
        w.speed_by_activation[m] = by_activation if free else 0.0
