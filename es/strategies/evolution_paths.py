"""What CMA-ES and sep-CMA-ES share: the evolution paths and the global step size.

N. Hansen, "The CMA evolution strategy: a tutorial", 2016, https://arxiv.org/abs/1604.00772, eqs. 43 to 45.
"""

import math
from typing import NamedTuple

import numpy as np

from es.optimizers import norm
from es.strategies.update import Array


class Rates(NamedTuple):
    """What the paths go by: the selection mass of the weights, and learning rates."""

    mu_eff: float
    c_sigma: float
    d_sigma: float
    c_c: float


class Paths(NamedTuple):
    """Where the centre has been going."""

    p_sigma: Array
    """Conjugate evolution path, shape (dim,)."""
    p_c: Array
    """Evolution path, shape (dim,)."""
    stalled: bool
    """p_sigma is long: h_sigma = 0, and p_c waits, lest the covariance grow where sigma should."""
    sigma_factor: float
    """By which the path length changes sigma."""


def mass(weights: Array) -> float:
    """The variance effective selection mass mu_eff of weights, (sum w)^2 / sum w^2."""
    return float(np.sum(weights) ** 2 / np.sum(weights**2))


def damping(mu_eff: float, dim: int, c_sigma: float) -> float:
    """d_sigma, equation 55 of the tutorial."""
    return 1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (dim + 1)) - 1) + c_sigma


def advance(rates: Rates, p_sigma: Array, p_c: Array, t: float, z_w: Array, y_w: Array) -> Paths:
    """The paths after generation ``t`` = 1, 2, ...

    Args:
        rates: the learning rates.
        p_sigma: the conjugate path before, shape (dim,).
        p_c: the path before, shape (dim,).
        t: number of this generation.
        z_w: weighted mean of the standard normal samples, C^(-1/2) y_w.
        y_w: step of the centre over sigma.
    """
    mu_eff, c_sigma, d_sigma, c_c = rates
    dim = z_w.size
    expected = math.sqrt(dim) * (1 - 1 / (4 * dim) + 1 / (21 * dim**2))  # length of a standard normal vector
    p_sigma = (1 - c_sigma) * p_sigma + math.sqrt(c_sigma * (2 - c_sigma) * mu_eff) * z_w
    length = norm(p_sigma) / expected
    stalled = length >= (1.4 + 2 / (dim + 1)) * math.sqrt(1 - (1 - c_sigma) ** (2 * t))
    p_c = (1 - c_c) * p_c
    if not stalled:
        p_c = p_c + math.sqrt(c_c * (2 - c_c) * mu_eff) * y_w
    return Paths(p_sigma, p_c, stalled, math.exp(c_sigma / d_sigma * (length - 1)))
