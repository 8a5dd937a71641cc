"""First-order activation dynamics (OpenSim MuscleFirstOrderActivationDynamicModel; Thelen 2003, equation 2).

Time constant: t_act (0.5 + 1.5 a) while activation rises, t_deact / (0.5 + 1.5 a) while it falls. The rate
uses the activation clamped to [a_min, 1], but neither the state nor the excitation is clamped: at zero
excitation the state drifts below a_min, and has to climb back before the muscle answers.
"""

from es.native.compile import inlined
from es.native.model import Array
from es.native.parameters import Parameters
from es.native.state import ACTIVATION, MUSCLES
from es.native.workspace import Workspace


@inlined
def activate_muscles(
    y: Array, excitations: Array, p: Parameters, w: Workspace, rate: Array, with_partials: bool
) -> None:
    """Write entries 18..35 of rate, 1/s, and on demand ``activation_rate_by_activation``."""
    for m in range(MUSCLES):
        activation = min(max(y[ACTIVATION + m], p.min_activation[m]), 1.0)
        excess = excitations[m] - activation
        bend = 0.5 + 1.5 * activation
        rising = excitations[m] > activation
        inverse_time = 1.0 / (p.activation_time[m] * bend) if rising else bend / p.deactivation_time[m]
        rate[ACTIVATION + m] = excess * inverse_time
        if with_partials:
            slope = 0.0
            if activation == y[ACTIVATION + m]:
                bend_slope = -1.5 / bend if rising else 1.5 / bend
                slope = inverse_time * (excess * bend_slope - 1.0)
            w.activation_rate_by_activation[m] = slope
