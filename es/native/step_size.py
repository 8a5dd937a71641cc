"""How long the next step is: the rules and the error norm of Simbody's AbstractIntegratorRep.

Both integrators use the norm, so "accuracy" means the same as in OpenSim's Manager; ROS2 has its own rules.
"""

import math

from es.native.compile import inlined
from es.native.model import Array
from es.native.state import ACTIVATION, COORDINATES, SPEED, STATE

FIRST_STEP = 0.01  # a tenth of Simbody's default time scale, s
MAX_ATTEMPTS = 100_000  # in one advance; hundreds of times what the hardest fall needs


@inlined
def error_norm(error: Array, y: Array, coordinates: int) -> float:
    """Largest of the root mean squares over coordinates, speeds and muscle states; infinite for NaN.

    Args:
        error: estimated error of the step, shape (54,).
        y: state at its start, shape (54,); errors of speeds and muscle states count relative to values above
            one.
        coordinates: how many coordinates the means run over, the unmoved ones of OpenSim's model included.
    """
    positions, speeds, muscles = 0.0, 0.0, 0.0
    for i in range(COORDINATES):
        positions += error[i] * error[i]
    for i in range(SPEED, ACTIVATION):
        scaled = error[i] / max(1.0, abs(y[i]))
        speeds += scaled * scaled
    for i in range(ACTIVATION, STATE):
        scaled = error[i] / max(1.0, abs(y[i]))
        muscles += scaled * scaled
    if not math.isfinite(positions + speeds + muscles):
        return math.inf
    return math.sqrt(max(positions / coordinates, speeds / coordinates, muscles / (STATE - ACTIVATION)))


@inlined
def end_of_step(start: float, step_size: float, end: float) -> tuple[float, bool]:
    """When a step that wants to be step_size long stops, and whether the end cut it short."""
    if end < start + 0.95 * step_size:
        return end, True
    if end > start + 1.001 * step_size:
        return start + step_size, False
    return end, False


@inlined
def next_step_size(
    step_size: float, error: float, accuracy: float, order: int, cut_short: bool
) -> tuple[float, bool]:
    """Step size to go on with, and whether the step just tried is accepted.

    Args:
        step_size: what the step wanted to be, s.
        error: its error norm; infinite or NaN counts as very bad.
        accuracy: bound for it.
        order: of the error estimate.
        cut_short: the end of the interval made the step shorter than wanted.
    """
    if not math.isfinite(error):
        return 0.1 * step_size, False
    new = 5.0 * step_size if error == 0.0 else 0.9 * step_size * (accuracy / error) ** (1.0 / order)
    if new > step_size and (cut_short or new < 1.2 * step_size):
        new = step_size
    if new < step_size:
        new = step_size if error <= accuracy else min(new, 0.9 * step_size)
    new = max(min(new, 5.0 * step_size), 0.1 * step_size)
    return new, new >= step_size
