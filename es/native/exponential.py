"""The exponential function in a form that the compiler can turn into vector instructions."""

import numpy as np

from es.native.compile import inlined

_LOG2_E = 1.4426950408889634
# ln 2 in two parts, so that subtracting a small multiple of the first is exact.
_LN2_HIGH = 0.693147180369123816490
_LN2_LOW = 1.90821492927058770002e-10
# Adding 1.5 x 2^52 rounds to an integer, which then stands in the lowest bits.
_ROUND = 6755399441055744.0


@inlined
def exponential(x: float) -> float:
    """e^x to within two units in the last place, for x clamped to [-700, 700].

    Three calls for each muscle are half of what the muscles cost; one after the other through the C library
    they take three times as long.
    """
    x = min(max(x, -700.0), 700.0)
    shifted = x * _LOG2_E + _ROUND
    power = shifted - _ROUND
    r = x - power * _LN2_HIGH - power * _LN2_LOW
    s = 1.0 / 39916800.0 + r * (1.0 / 479001600.0)
    s = 1.0 / 3628800.0 + r * s
    s = 1.0 / 362880.0 + r * s
    s = 1.0 / 40320.0 + r * s
    s = 1.0 / 5040.0 + r * s
    s = 1.0 / 720.0 + r * s
    s = 1.0 / 120.0 + r * s
    s = 1.0 / 24.0 + r * s
    s = 1.0 / 6.0 + r * s
    s = 0.5 + r * s
    s = 1.0 + r * s
    s = 1.0 + r * s
    bits = (np.float64(shifted).view(np.int64) + 1023) << 52
    return s * np.int64(bits).view(np.float64)
