"""Cubic splines with straight ends (OpenSim SimmSpline)."""

from es.native.compile import inlined
from es.native.model import Array


@inlined
def spline(table: Array, x: float) -> tuple[float, float, float]:
    """Value, first and second derivative at x.

    Args:
        table: shape (pieces, 5), see ``es.native.parameters.Parameters``.
        x: abscissa.
    """
    piece = 0
    for k in range(1, table.shape[0]):
        if table[k, 0] <= x:
            piece = k
    b, c, d = table[piece, 2], table[piece, 3], table[piece, 4]
    dx = x - table[piece, 0]
    value = table[piece, 1] + dx * (b + dx * (c + dx * d))
    return value, b + dx * (2.0 * c + 3.0 * dx * d), 2.0 * c + 6.0 * dx * d
