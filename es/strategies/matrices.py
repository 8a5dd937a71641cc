"""Products and square roots of matrices with one order of summation.

That of LAPACK and BLAS depends on processor and threads; these give the same bytes everywhere.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

F = TypeVar("F", bound=Callable[..., Any])

SWEEPS = 60
"""At most; Jacobi's method needs about ten."""


def product(matrix: Array, vector: Array) -> Array:
    """The product of shapes (n, m) and (m,), shape (n,)."""
    # Sums along the first axis add row to row.
    result: Array = np.sum(matrix.T * vector[:, None], axis=0)
    return result


def symmetric_root(matrix: Array) -> Array:
    """The symmetric R with R R = ``matrix``, which is symmetric and positive semi-definite, shape (n, n).

    Eigenvalues that round-off made negative count as zero.
    """
    values, vectors = _eigen((matrix + matrix.T) / 2)
    root = np.zeros_like(matrix)
    for value, vector in zip(values, vectors, strict=True):
        root += np.sqrt(max(value, 0.0)) * np.outer(vector, vector)
    return root


def _compiled(function: F) -> F:
    """Without fast-math: every operation rounds, as numpy's do."""
    compiler: Any = numba.njit  # its annotations do not keep the function's type
    try:
        return cast(F, compiler(cache=True)(function))
    except RuntimeError:  # numba finds no directory that it can write
        return cast(F, compiler(function))


@_compiled
def _rotate(x: Array, y: Array, cos: float, sin: float) -> None:
    for k in range(len(x)):
        x[k], y[k] = cos * x[k] - sin * y[k], sin * x[k] + cos * y[k]


@_compiled
def _eigen(a: Array) -> tuple[Array, Array]:
    """Eigenvalues, shape (n,), and eigenvectors in rows, shape (n, n), of a symmetric matrix; overwrites it.

    Cyclic Jacobi: Golub and Van Loan, "Matrix computations", section 8.5.
    """
    n = len(a)
    vectors = np.eye(n)
    for _ in range(SWEEPS):
        largest = np.max(np.abs(np.diag(a)))
        rotated = False
        for p in range(n - 1):
            for q in range(p + 1, n):
                if abs(a[p, q]) <= 1e-16 * largest:  # no part of any eigenvalue
                    continue
                rotated = True
                half_gap = (a[q, q] - a[p, p]) / (2 * a[p, q])
                tan = 1 / (abs(half_gap) + np.sqrt(half_gap**2 + 1))  # the smaller of two angles
                if half_gap < 0:
                    tan = -tan
                cos = 1 / np.sqrt(tan**2 + 1)
                sin = tan * cos
                _rotate(a[p], a[q], cos, sin)
                _rotate(a[:, p], a[:, q], cos, sin)
                _rotate(vectors[p], vectors[q], cos, sin)
                a[p, q] = a[q, p] = 0.0
        if not rotated:
            break
    return np.diag(a).copy(), vectors
