"""Cubic splines with straight ends (OpenSim SimmSpline).

A spline table has a row for each polynomial piece: value, slope, half of the second and a sixth of the third
derivative at its start. The first and last rows are the straight lines beyond the outer knots.
"""

from es.native.compile import inlined
from es.native.model import Array


@inlined
def find_piece(starts: Array, x: float) -> int:
    """Row of the piece that holds x; starts are the knots, the first one twice, shape (pieces,)."""
    piece = 0
    for k in range(1, starts.shape[0]):
        piece += 1 if starts[k] <= x else 0
    return piece


@inlined
def evaluate_piece(row: Array, dx: float) -> tuple[float, float, float]:
    """Value, first and second derivative at dx beyond the start of a piece; row has shape (4,)."""
    b, c, d = row[1], row[2], row[3]
    return row[0] + dx * (b + dx * (c + dx * d)), b + dx * (2.0 * c + 3.0 * dx * d), 2.0 * c + 6.0 * dx * d


@inlined
def evaluate_spline(starts: Array, table: Array, x: float) -> tuple[float, float, float]:
    """Value, first and second derivative at x; table has shape (pieces, 4)."""
    piece = find_piece(starts, x)
    return evaluate_piece(table[piece], x - starts[piece])
