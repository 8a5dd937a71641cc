"""Linearly implicit integrator of second order (ROS2): the fast one.

J. G. Verwer, E. J. Spee, J. G. Blom, W. Hundsdorfer, "A second-order Rosenbrock method applied to
photochemical dispersion problems", SIAM J. Sci. Comput. 20 (1999) 1456-1480. With gamma = 1 - 1/sqrt(2) it is
L-stable:

    (1 - gamma h J) k1 = f(y0)
    (1 - gamma h J) k2 = f(y0 + h k1) - 2 k1
    y1 = y0 + h (3 k1 + k2) / 2,   error against the first order y0 + h k1: h (k1 + k2) / 2

It keeps its order with any matrix J (a W-method), so J holds only what makes the runner stiff: contact and
joint limits, the elastic tendons through the moment arms, fibre and activation dynamics. Leaving the
derivatives of mass matrix, inertial forces and moment arms out keeps it sparse: eliminating activations,
fibre lengths and coordinates leaves one arrow matrix for the nine speeds,

    A = M - d D - d^2 (K - sum_m kappa_m r_m s_m^T),   d = gamma h,

with mass matrix M, damping D and stiffness K of contacts and limits, moment arms r_m, derivatives of the
muscle lengths s_m, and kappa_m the stiffness of a muscle over a time d, its tendon's less what the fibre
gives.
"""

import math

from es.native import arrow
from es.native.compile import compiled, inlined
from es.native.derivative import derivative, evaluate
from es.native.model import Array
from es.native.parameters import Parameters
from es.native.state import ACTIVATION, COORDINATES, FIBER, LEG_MUSCLES, MUSCLES, SPEED, STATE
from es.native.step_size import MAX_ATTEMPTS, error_norm
from es.native.workspace import Workspace

GAMMA = 1.0 - 1.0 / math.sqrt(2.0)

# The estimate is the error of one first-order step, while results are judged by what second-order steps add
# up to over seconds. Measured over 60 episodes of a second: with this factor, accuracy 1e-2 stays within
# three times the distance that OpenSim's Runge-Kutta-Merson at 1e-3 keeps from itself at 1e-5, in the median
# and in the worst tenth.
CAUTION = 5.0


@compiled
def advance(
    y: Array,
    excitations: Array,
    max_force: Array,
    obstacles: Array,
    p: Parameters,
    w: Workspace,
    inner: Workspace,
    duration: float,
    step_size: float,
    accuracy: float,
    shortest: float,
) -> float:
    """Integrate y in place; returns the step size to go on with, or -1 if the integration failed.

    Args:
        y: state, shape (54,).
        excitations: shape (18,), constant meanwhile.
        max_force: shape (18,), N.
        obstacles: shape (k, 4), see ``es.native.contact.touch``.
        p: parameters.
        w: workspace for the start of a step, and for the method itself.
        inner: workspace for the second stage.
        duration: s.
        step_size: to begin with, s.
        accuracy: bound for the error norm.
        shortest: a step of this length or less counts as accurate, and the next wants to be this long at
            least, s; one that was refused at more can be cut to a tenth of it.
    """
    f0, k1, k2, trial = w.stages[0], w.stages[1], w.stages[2], w.trial
    start = 0.0
    fresh = True
    for _ in range(MAX_ATTEMPTS):
        if fresh:
            evaluate(y, excitations, max_force, obstacles, p, w, f0, True)
            _linearize(w)
        # Equal parts up to the end, rather than a last one cut short: the same number, each with less error.
        parts = math.ceil((duration - start) / step_size - 1e-9)
        h = (duration - start) / parts if parts > 1 else duration - start
        end = start + h if parts > 1 else duration
        if end <= start:
            return -1.0

        delta = GAMMA * h
        _factor_system(delta, w)
        for i in range(STATE):
            k1[i] = f0[i]
        for i in range(COORDINATES):
            k1[SPEED + i] = w.force[i]
        _solve_stage(delta, w, k1, inner.force)

        for i in range(STATE):
            trial[i] = y[i] + h * k1[i]
        derivative(trial, excitations, max_force, obstacles, p, inner, k2)
        for i in range(STATE):
            k2[i] -= 2.0 * k1[i]
        for i in range(COORDINATES):
            inner.force[i] = 0.0
        arrow.multiply(w.mass, k2[SPEED:ACTIVATION], inner.force, 1.0)
        for i in range(COORDINATES):
            k2[SPEED + i] = inner.force[i]
        _solve_stage(delta, w, k2, inner.force)

        for i in range(STATE):
            w.error[i] = 0.5 * h * (k1[i] + k2[i])
            trial[i] = y[i] + h * k1[i] + w.error[i]
        error = CAUTION * error_norm(w.error, y, COORDINATES)
        fresh = error <= accuracy or (h <= shortest and math.isfinite(error))
        if fresh:
            step_size = h * min(max(0.8 * math.sqrt(accuracy / error), 1.0), 2.0) if error > 0.0 else 2.0 * h
            for i in range(STATE):
                y[i] = trial[i]
            start = end
            step_size = max(step_size, shortest)
            if start >= duration:
                return step_size
        else:
            step_size = h * min(max(0.8 * math.sqrt(accuracy / error), 0.1), 0.9)
    return -1.0


@inlined
def _linearize(w: Workspace) -> None:
    """Fill ``stiffness`` and ``damping`` after an evaluation with partial derivatives."""
    for block in range(7):
        for i in range(3):
            for j in range(3):
                w.stiffness[block, i, j] = 0.0
                w.damping[block, i, j] = 0.0
    for leg in range(2):
        touching = w.foot_wrench[leg, 1] != 0.0 or w.foot_wrench[leg, 2] != 0.0
        if touching:
            _add_foot(leg, w.foot_stiffness[leg], w.joint_motion[leg], w.stiffness)
            _add_foot(leg, w.foot_damping[leg], w.joint_motion[leg], w.damping)
        for joint in range(3):
            w.stiffness[1 + leg, joint, joint] += w.limit_stiffness[leg, joint]
            w.damping[1 + leg, joint, joint] += w.limit_damping[leg, joint]


@inlined
def _add_foot(leg: int, foot: Array, motion: Array, target: Array) -> None:
    """Add a (3, 3) matrix that acts on the foot's motion to an arrow matrix that acts on the coordinates.

    The blocks beside that leg's are empty before. The foot moves with the base as a whole, and with joint
    j by (1, motion[j, 0], motion[j, 1]).
    """
    right, below = target[3 + leg], target[5 + leg]
    for i in range(3):
        for j in range(3):
            target[0, i, j] += foot[i, j]
            right[i, j] += foot[i, 0] + foot[i, 1] * motion[j, 0] + foot[i, 2] * motion[j, 1]
            below[j, i] += foot[0, i] + motion[j, 0] * foot[1, i] + motion[j, 1] * foot[2, i]
    for i in range(3):
        for j in range(3):
            target[1 + leg, i, j] += right[0, j] + motion[i, 0] * right[1, j] + motion[i, 1] * right[2, j]


@inlined
def _factor_system(delta: float, w: Workspace) -> None:
    """Fill ``activation_gain``, ``fiber_gain`` and ``muscle_stiffness``, and factor A into ``system``."""
    for block in range(7):
        for i in range(3):
            for j in range(3):
                w.system[block, i, j] = w.mass[block, i, j] - delta * (
                    w.damping[block, i, j] + delta * w.stiffness[block, i, j]
                )
    for m in range(MUSCLES):
        w.activation_gain[m] = 1.0 / (1.0 - delta * w.activation_rate_by_activation[m])
        # Off its equilibrium a fibre can run away for a while; the method needs no derivative of that.
        w.fiber_gain[m] = 1.0 / (1.0 - delta * min(w.speed_by_fiber[m], 0.0))
        give = delta * w.fiber_gain[m] * w.speed_by_path[m]
        w.muscle_stiffness[m] = w.tendon_by_path[m] + w.tendon_by_fiber[m] * give
    for leg in range(2):
        for i in range(3):
            # Three sums in registers: memory that is added to nine times over costs twice as much.
            a = b = c = 0.0
            for m in range(LEG_MUSCLES * leg, LEG_MUSCLES * (leg + 1)):
                pull = w.muscle_stiffness[m] * w.moment_arm[m, i]
                a += pull * w.length_slope[m, 0]
                b += pull * w.length_slope[m, 1]
                c += pull * w.length_slope[m, 2]
            block = w.system[1 + leg]
            block[i, 0] += delta * delta * a
            block[i, 1] += delta * delta * b
            block[i, 2] += delta * delta * c
    arrow.factor(w.system)


@inlined
def _solve_stage(delta: float, w: Workspace, k: Array, force: Array) -> None:
    """Replace the right-hand side k, shape (54,), by (1 - delta J)^-1 k.

    Its entries 9..17 come as generalised forces, that is, times the mass matrix. What force, shape (9,), held
    is lost.
    """
    for i in range(COORDINATES):
        force[i] = k[SPEED + i]
    arrow.multiply(w.stiffness, k[:COORDINATES], force, delta)
    for m in range(MUSCLES):
        k[ACTIVATION + m] *= w.activation_gain[m]
        k[FIBER + m] += delta * w.speed_by_activation[m] * k[ACTIVATION + m]
        k[FIBER + m] *= w.fiber_gain[m]
    for leg in range(2):
        first = 3 + 3 * leg
        for m in range(LEG_MUSCLES * leg, LEG_MUSCLES * (leg + 1)):
            stretch = _stretch(w.length_slope[m], k, first)
            tension = delta * (w.muscle_stiffness[m] * stretch + w.tendon_by_fiber[m] * k[FIBER + m])
            for joint in range(3):
                force[first + joint] -= tension * w.moment_arm[m, joint]
    arrow.solve(w.system, force)
    for i in range(COORDINATES):
        k[SPEED + i] = force[i]
        k[i] += delta * force[i]
    for leg in range(2):
        first = 3 + 3 * leg
        for m in range(LEG_MUSCLES * leg, LEG_MUSCLES * (leg + 1)):
            k[FIBER + m] += (
                delta * w.fiber_gain[m] * w.speed_by_path[m] * _stretch(w.length_slope[m], k, first)
            )


@inlined
def _stretch(slope: Array, k: Array, first: int) -> float:
    """Lengthening of a muscle's path by the coordinates of its leg, which start at first."""
    total: float = slope[0] * k[first] + slope[1] * k[first + 1] + slope[2] * k[first + 2]
    return total
