"""Arrow matrices: blocks of 3 x 3 that couple the pelvis with each leg, but not the legs with each other.

The layout of the shape (7, 3, 3) arrays is given in ``es.native.workspace.Workspace``.
"""

from es.native.compile import inlined
from es.native.model import Array


@inlined
def copy(source: Array, target: Array) -> None:
    """Copy an arrow matrix (a slice assignment would compile to a general copy that is ten times slower)."""
    for block in range(7):
        for i in range(3):
            for j in range(3):
                target[block, i, j] = source[block, i, j]


@inlined
def multiply(a: Array, x: Array, out: Array, scale: float) -> None:
    """Add scale A x to out; x and out have shape (9,)."""
    for i in range(3):
        total = 0.0
        for j in range(3):
            total += a[0, i, j] * x[j] + a[3, i, j] * x[3 + j] + a[4, i, j] * x[6 + j]
        out[i] += scale * total
    for leg in range(2):
        for i in range(3):
            total = 0.0
            for j in range(3):
                total += a[5 + leg, i, j] * x[j] + a[1 + leg, i, j] * x[3 + 3 * leg + j]
            out[3 + 3 * leg + i] += scale * total


@inlined
def factor(a: Array) -> None:
    """Replace A by its factors for ``solve``: diagonal blocks by L U, others by products with L^-1 or U^-1.

    Gaussian elimination of the legs, then of what they leave of the base, without pivoting: the mass matrix
    is positive definite, and what the implicit method adds to it nearly so.
    """
    for leg in range(2):
        block, right, below = a[1 + leg], a[5 + leg], a[3 + leg]
        _factor3(block)
        # right := L^-1 right, below := below U^-1, base -= below right
        for j in range(3):
            right[1, j] -= block[1, 0] * right[0, j]
            right[2, j] -= block[2, 0] * right[0, j] + block[2, 1] * right[1, j]
        for i in range(3):
            below[i, 0] *= block[0, 0]
            below[i, 1] = (below[i, 1] - below[i, 0] * block[0, 1]) * block[1, 1]
            below[i, 2] = (below[i, 2] - below[i, 0] * block[0, 2] - below[i, 1] * block[1, 2]) * block[2, 2]
        for i in range(3):
            for j in range(3):
                a[0, i, j] -= (
                    below[i, 0] * right[0, j] + below[i, 1] * right[1, j] + below[i, 2] * right[2, j]
                )
    _factor3(a[0])


@inlined
def solve(a: Array, x: Array) -> None:
    """Replace x, shape (9,), by A^-1 x, with A as ``factor`` left it."""
    for leg in range(2):
        k = 3 + 3 * leg
        block, below = a[1 + leg], a[3 + leg]
        x[k + 1] -= block[1, 0] * x[k]
        x[k + 2] -= block[2, 0] * x[k] + block[2, 1] * x[k + 1]
        for i in range(3):
            x[i] -= below[i, 0] * x[k] + below[i, 1] * x[k + 1] + below[i, 2] * x[k + 2]
    base = a[0]
    x[1] -= base[1, 0] * x[0]
    x[2] -= base[2, 0] * x[0] + base[2, 1] * x[1]
    x[2] *= base[2, 2]
    x[1] = (x[1] - base[1, 2] * x[2]) * base[1, 1]
    x[0] = (x[0] - base[0, 1] * x[1] - base[0, 2] * x[2]) * base[0, 0]
    for leg in range(2):
        k = 3 + 3 * leg
        block, right = a[1 + leg], a[5 + leg]
        for i in range(3):
            x[k + i] -= right[i, 0] * x[0] + right[i, 1] * x[1] + right[i, 2] * x[2]
        x[k + 2] *= block[2, 2]
        x[k + 1] = (x[k + 1] - block[1, 2] * x[k + 2]) * block[1, 1]
        x[k] = (x[k] - block[0, 1] * x[k + 1] - block[0, 2] * x[k + 2]) * block[0, 0]


@inlined
def _factor3(a: Array) -> None:
    """L U of a 3 x 3 matrix in place: L has a unit diagonal, and U keeps the inverse of its own."""
    a[0, 0] = 1.0 / a[0, 0]
    a[1, 0] *= a[0, 0]
    a[2, 0] *= a[0, 0]
    a[1, 1] = 1.0 / (a[1, 1] - a[1, 0] * a[0, 1])
    a[1, 2] -= a[1, 0] * a[0, 2]
    a[2, 1] = (a[2, 1] - a[2, 0] * a[0, 1]) * a[1, 1]
    a[2, 2] = 1.0 / (a[2, 2] - a[2, 0] * a[0, 2] - a[2, 1] * a[1, 2])
