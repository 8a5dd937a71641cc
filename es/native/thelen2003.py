"""Muscle with a compliant tendon: fibre velocity and tendon force (OpenSim Thelen2003Muscle).

D. G. Thelen, "Adjustment of muscle mechanics model parameters to simulate dynamic contractions in older adults",
J. Biomech. Eng. 125 (2003) 70-77; curves and clamps as in OpenSim's class. Forces are in units of the maximum isometric
force, lengths of fibres in optimal lengths, strains in slack lengths, unless a unit is given.

The tendon carries the fibre: with pennation angle phi, f_tendon = (a f_l f_v + f_passive) cos(phi). Solved for f_v and
inverted, that gives the fibre velocity; the speed of the path plays no role, and fibres have no damping.
"""

import math

from es.native.compile import inlined
from es.native.model import Array
from es.native.parameters import Parameters
from es.native.state import ACTIVATION, FIBER, MUSCLES
from es.native.workspace import Workspace


@inlined
def contract_muscles(
    y: Array, max_force: Array, p: Parameters, w: Workspace, rate: Array, with_partials: bool
) -> None:
    """Fill ``tendon_force`` and the fibre velocities in rate, and on demand the partial derivatives.

    Args:
        y: state, shape (54,).
        max_force: maximum isometric forces of this episode, shape (18,), N.
        p: parameters.
        w: workspace with ``muscle_length``.
        rate: derivative of the state, shape (54,); entries 36..53 are written, m/s.
        with_partials: also fill ``tendon_by_*`` and ``speed_by_*``.
    """
    for m in range(MUSCLES):
        optimal, slack = p.optimal_length[m], p.slack_length[m]
        fiber = max(y[FIBER + m], p.min_length[m])
        activation = min(max(y[ACTIVATION + m], p.min_activation[m]), 1.0)

        # Pennation: a parallelogram of constant height. OpenSim caps the angle.
        sin_phi = 0.0
        if p.pennation_height[m] > 0.0:
            sin_phi = p.pennation_height[m] / fiber
        cos_phi = p.min_cos_pennation[m]
        if sin_phi < p.max_sin_pennation[m]:
            cos_phi = math.sqrt(1.0 - sin_phi * sin_phi)

        strain = (w.muscle_length[m] - fiber * cos_phi) / slack - 1.0
        tendon, tendon_slope = tendon_force_strain(m, strain, p)
        stretch = fiber / optimal - 1.0
        active = math.exp(-stretch * stretch / p.active_shape[m])
        passive, passive_slope = 0.0, 0.0
        if stretch > 0.0:
            growth = math.exp(p.passive_rate[m] * stretch)
            passive = p.passive_factor[m] * (growth - 1.0)
            passive_slope = p.passive_factor[m] * p.passive_rate[m] * growth

        load = tendon / cos_phi - passive
        relative = load / (activation * active)
        speed, speed_slope = fiber_speed(m, relative, p)
        scale = p.max_speed[m] * (0.25 + 0.75 * activation)

        w.tendon_force[m] = max_force[m] * tendon
        # A fibre at its shortest can only lengthen.
        stuck = y[FIBER + m] <= p.min_length[m] and speed <= 0.0
        rate[FIBER + m] = 0.0 if stuck else scale * speed

        if with_partials:
            by_strain = max_force[m] * tendon_slope / slack
            w.tendon_by_path[m] = by_strain
            w.tendon_by_fiber[m] = -by_strain / cos_phi
            if stuck:
                w.speed_by_path[m] = 0.0
                w.speed_by_fiber[m] = 0.0
                w.speed_by_activation[m] = 0.0
            else:
                by_load = scale * speed_slope / (activation * active)
                w.speed_by_path[m] = by_load * tendon_slope / (slack * cos_phi)
                load_by_fiber = (
                    -tendon_slope / (slack * cos_phi * cos_phi)
                    - tendon * sin_phi * sin_phi / (fiber * cos_phi * cos_phi * cos_phi)
                    - passive_slope / optimal
                )
                log_active_by_fiber = -2.0 * stretch / (p.active_shape[m] * optimal)
                w.speed_by_fiber[m] = by_load * load_by_fiber - scale * speed_slope * relative * log_active_by_fiber
                w.speed_by_activation[m] = 0.0
                if activation == y[ACTIVATION + m]:
                    w.speed_by_activation[m] = (
                        0.75 * p.max_speed[m] * speed - scale * speed_slope * relative / activation
                    )


@inlined
def tendon_force_strain(m: int, strain: float, p: Parameters) -> tuple[float, float]:
    """Tendon force and its derivative by strain: slack, an exponential toe up to a third, then a line."""
    if strain > p.tendon_toe_strain[m]:
        return p.tendon_slope[m] * (strain - p.tendon_toe_strain[m]) + 0.33, p.tendon_slope[m]
    if strain > 0.0:
        rate = 3.0 / p.tendon_toe_strain[m]
        growth = math.exp(rate * strain)
        return p.tendon_toe_factor[m] * (growth - 1.0), p.tendon_toe_factor[m] * rate * growth
    return 0.0, 0.0


@inlined
def fiber_speed(m: int, relative: float, p: Parameters) -> tuple[float, float]:
    """Inverse force-velocity curve, equations 6 and 7 of Thelen (2003), and its derivative.

    Args:
        m: muscle.
        relative: active fibre force over its isometric value a f_l.
        p: parameters.

    Returns:
        Velocity in units of the activation-dependent largest speed, lengthening positive. Outside the curve's range,
        which is below zero and near the largest lengthening force, it goes on as a line.
    """
    if relative <= 0.0:
        slope = 1.0 + p.shortening_shape[m]
        return slope * relative - 1.0, slope
    if relative >= p.extrapolation_start[m]:
        slope = p.extrapolation_slope[m]
        return p.extrapolation_speed[m] + slope * (relative - p.extrapolation_start[m]), slope
    if relative <= 1.0:
        b = 1.0 + p.shortening_shape[m] * relative
        return (relative - 1.0) / b, (1.0 + p.shortening_shape[m]) / (b * b)
    b = p.lengthening_rate[m] * (p.lengthening_force[m] - relative)
    return (relative - 1.0) / b, p.lengthening_rate[m] * (p.lengthening_force[m] - 1.0) / (b * b)
