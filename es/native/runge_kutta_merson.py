"""Explicit integrator of fourth order (Simbody RungeKuttaMersonIntegrator): the one to compare with OpenSim.

R. H. Merson (1957); E. Hairer, S. P. Norsett, G. Wanner, "Solving Ordinary Differential Equations I", table
4.1. With ``es.native.step_size`` it takes the very steps that OpenSim's Manager takes.
"""

from es.native.compile import compiled
from es.native.derivative import derivative
from es.native.model import Array
from es.native.parameters import Parameters
from es.native.state import STATE
from es.native.step_size import MAX_ATTEMPTS, end_of_step, error_norm, next_step_size
from es.native.workspace import Workspace


@compiled
def advance(
    y: Array,
    excitations: Array,
    max_force: Array,
    obstacles: Array,
    p: Parameters,
    w: Workspace,
    duration: float,
    step_size: float,
    accuracy: float,
    coordinates: int,
) -> float:
    """Integrate y in place; returns the step size to go on with, or -1 if the integration failed.

    Args:
        y: state, shape (54,).
        excitations: shape (18,), constant meanwhile.
        max_force: shape (18,), N.
        obstacles: shape (k, 4), see ``es.native.contact.touch``.
        p: parameters.
        w: workspace.
        duration: s.
        step_size: to begin with, s.
        accuracy: bound for the error norm.
        coordinates: how many its means run over, see ``es.native.step_size.error_norm``.
    """
    f0, f, g, trial = w.stages[0], w.stages[1], w.stages[2], w.trial
    start = 0.0
    fresh = True
    for _ in range(MAX_ATTEMPTS):
        if fresh:
            derivative(y, excitations, max_force, obstacles, p, w, f0)
        end, cut_short = end_of_step(start, step_size, duration)
        if end <= start:
            return -1.0
        h = end - start

        for i in range(STATE):
            trial[i] = y[i] + h / 3.0 * f0[i]
        derivative(trial, excitations, max_force, obstacles, p, w, f)
        for i in range(STATE):
            trial[i] = y[i] + h / 6.0 * (f0[i] + f[i])
        derivative(trial, excitations, max_force, obstacles, p, w, f)
        for i in range(STATE):
            trial[i] = y[i] + h / 8.0 * (f0[i] + 3.0 * f[i])
        derivative(trial, excitations, max_force, obstacles, p, w, g)
        for i in range(STATE):
            trial[i] = y[i] + h / 2.0 * (f0[i] - 3.0 * f[i] + 4.0 * g[i])
        derivative(trial, excitations, max_force, obstacles, p, w, f)
        for i in range(STATE):
            last = y[i] + h / 6.0 * (f0[i] + 4.0 * g[i] + f[i])
            w.error[i] = 0.2 * (last - trial[i])
            trial[i] = last

        error = error_norm(w.error, y, coordinates)
        step_size, fresh = next_step_size(step_size, error, accuracy, 4, cut_short)
        if fresh:
            for i in range(STATE):
                y[i] = trial[i]
            start = end
            if start >= duration:
                return step_size
    return -1.0
