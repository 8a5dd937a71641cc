"""CMA-ES: N. Hansen, "The CMA evolution strategy: a tutorial", 2016, https://arxiv.org/abs/1604.00772,
appendix A.

The mathematics is in the middle of ``tell``:

    w        weights of theta + sigma R eps_i by rank, R = C^(1/2); those of the worse half are negative
    y_i      R eps_i; y_w their mean by the positive weights
    theta <- theta + sigma y_w
    p_sigma, p_c, sigma    as in `es.strategies.evolution_paths`
    C     <- (1 - c_1 - c_mu sum w) C + c_1 p_c p_c^T + c_mu sum_i w_i y_i y_i^T

where a negative w_i is scaled by dim / |eps_i|^2, so that C stays positive definite. R is the symmetric
root: C^(-1/2) y_i is eps_i itself, and nothing has to be inverted. A generation costs time of order dim^3 and
a message of dim^2 numbers: some hundred parameters at most.
"""  # noqa: D205  (the citation is the summary)

import math
from typing import NamedTuple

import numpy as np

from es import config, fitness
from es.errors import ExperimentError
from es.strategies import evolution_paths
from es.strategies.evolution_paths import Rates
from es.strategies.matrices import product, symmetric_root
from es.strategies.update import Array, Noise, Update, describe

MAX_DIM = 1000
"""Where the root of C takes some fifteen seconds."""


class State(NamedTuple):
    """The search distribution N(theta, sigma^2 C) and its paths."""

    theta: Array
    """The centre, shape (dim,)."""
    sigma: Array
    """Global step size, shape ()."""
    C: Array
    """Covariance over sigma^2, shape (dim, dim)."""
    R: Array
    """Its symmetric root, shape (dim, dim)."""
    p_sigma: Array
    """Conjugate evolution path, shape (dim,)."""
    p_c: Array
    """Evolution path, shape (dim,)."""
    t: Array
    """Updates made, shape ()."""


def init(strategy: config.CMAES, theta: Array) -> State:
    """Start from the centre ``theta``, shape (dim,).

    Raises:
        ExperimentError: there are more parameters than a full covariance is good for.
    """
    if theta.size > MAX_DIM:
        raise ExperimentError(
            f"strategy.kind = 'cma_es': expected a policy of at most {MAX_DIM} parameters, got {theta.size}; "
            "use 'sep_cma_es' or 'snes'"
        )
    zeros, identity = np.zeros(theta.size), np.eye(theta.size)
    return State(theta, np.array(strategy.sigma), identity, identity, zeros, zeros, np.zeros(()))


def ask(strategy: config.CMAES, state: State) -> tuple[Array, Array]:
    """The distribution to sample: centre, shape (dim,), and sigma R, shape (dim, dim)."""
    return state.theta, state.sigma * state.R


def tell(
    strategy: config.CMAES, state: State, returns: Array, sign_returns: Array, noise: Noise
) -> tuple[State, Update]:
    """Move the centre to the weighted mean of the better half, and adapt step size and covariance.

    Args:
        strategy: its settings.
        state: what ``ask`` was called with.
        returns: shape (pairs, 2), returns of theta + sigma R eps_i in order of i; NaN where failed.
        sign_returns: unused.
        noise: eps_i, shape (dim,), standard normal.

    Returns:
        The new state, and norms for the record. Equal returns give equal weights, a random walk.
    """
    theta, sigma, C, R, p_sigma, p_c, t = state  # noqa: N806  (the paper's symbols)
    dim = theta.size
    weights, c_1, c_mu, rates = constants(returns.size, dim, active=strategy.active)
    w = fitness.by_rank(returns.ravel(), weights)
    recombination = fitness.by_rank(returns.ravel(), np.maximum(weights, 0.0))
    z_w, rank_mu = np.zeros(dim), np.zeros((dim, dim))
    for i, w_i in enumerate(w):  # in order: see `weighted_sum`
        eps = noise(i).astype(np.float64)
        z_w += recombination[i] * eps
        y = product(R, eps)
        rank_mu += (w_i if w_i >= 0 else w_i * dim / np.sum(eps**2)) * np.outer(y, y)
    y_w = product(R, z_w)
    paths = evolution_paths.advance(rates, p_sigma, p_c, float(t) + 1, z_w, y_w)
    c_c = rates.c_c
    lost = c_1 * c_c * (2 - c_c) if paths.stalled else 0.0  # what a stalled path does not add
    kept = 1 - c_1 - c_mu * np.sum(weights) + lost
    new_c = kept * C + c_1 * np.outer(paths.p_c, paths.p_c) + c_mu * rank_mu
    new_theta = theta + sigma * y_w
    new_sigma = sigma * paths.sigma_factor
    new_state = State(new_theta, new_sigma, new_c, symmetric_root(new_c), paths.p_sigma, paths.p_c, t + 1)
    return new_state, describe(sigma * y_w, theta, new_theta)


def constants(population: int, dim: int, *, active: bool) -> tuple[Array, float, float, Rates]:
    """Table 1 of the tutorial: weights, shape (population,), best first; c_1, c_mu; rates of the paths."""
    raw = math.log((population + 1) / 2) - np.log(np.arange(1, population + 1))
    mu = population // 2
    mu_eff, mu_eff_minus = evolution_paths.mass(raw[:mu]), evolution_paths.mass(raw[mu:])
    c_1 = 2 / ((dim + 1.3) ** 2 + mu_eff)
    c_mu = min(1 - c_1, 2 * (0.25 + mu_eff + 1 / mu_eff - 2) / ((dim + 2) ** 2 + mu_eff))
    c_sigma = (mu_eff + 2) / (dim + mu_eff + 5)
    c_c = (4 + mu_eff / dim) / (dim + 4 + 2 * mu_eff / dim)
    negative = min(1 + c_1 / c_mu, 1 + 2 * mu_eff_minus / (mu_eff + 2), (1 - c_1 - c_mu) / (dim * c_mu))
    scale = np.where(raw > 0, 1 / np.sum(raw[:mu]), negative * active / -np.sum(raw[mu:]))
    return raw * scale, c_1, c_mu, Rates(mu_eff, c_sigma, evolution_paths.damping(mu_eff, dim, c_sigma), c_c)
