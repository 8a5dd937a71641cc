"""sep-CMA-ES: R. Ros, N. Hansen, "A simple modification in CMA-ES achieving linear time and space
complexity", 2008, https://doi.org/10.1007/978-3-540-87700-4_30.

CMA-ES whose covariance matrix stays diagonal, and can therefore learn (dim + 2) / 3 times as fast. The
mathematics is in the middle of ``tell``, by parameter:

    w        weights of theta + sigma D eps_i by rank, D = sqrt(C); their mean <.>_w
    theta <- theta + sigma D <eps>_w
    p_sigma, p_c, sigma    as in `es.strategies.evolution_paths`
    C     <- (1 - c_1 - c_mu) C + c_1 p_c^2 + c_mu C <eps^2>_w
"""  # noqa: D205  (the citation is the summary)

import math
from typing import NamedTuple

import numpy as np

from es import config, fitness
from es.strategies import evolution_paths
from es.strategies.evolution_paths import Rates
from es.strategies.update import Array, Noise, Update, describe


class State(NamedTuple):
    """The search distribution N(theta, sigma^2 diag(C)) and its paths."""

    theta: Array
    """The centre, shape (dim,)."""
    sigma: Array
    """Global step size, shape ()."""
    C: Array
    """Variances over sigma^2, shape (dim,)."""
    p_sigma: Array
    """Conjugate evolution path, shape (dim,)."""
    p_c: Array
    """Evolution path, shape (dim,)."""
    t: Array
    """Updates made, shape ()."""


def init(strategy: config.SepCMAES, theta: Array) -> State:
    """Start from the centre ``theta``, shape (dim,)."""
    zeros = np.zeros(theta.size)
    return State(theta, np.array(strategy.sigma), np.ones(theta.size), zeros, zeros, np.zeros(()))


def ask(strategy: config.SepCMAES, state: State) -> tuple[Array, Array]:
    """The distribution to sample: centre and standard deviations, both of shape (dim,)."""
    return state.theta, state.sigma * np.sqrt(state.C)


def tell(
    strategy: config.SepCMAES, state: State, returns: Array, sign_returns: Array, noise: Noise
) -> tuple[State, Update]:
    """Move the centre to the weighted mean of the better half, and adapt step size and variances.

    Args:
        strategy: its settings.
        state: what ``ask`` was called with.
        returns: shape (pairs, 2), returns of theta + sigma D eps_i in order of i; NaN where failed.
        sign_returns: unused.
        noise: eps_i, shape (dim,), standard normal.

    Returns:
        The new state, and norms for the record. Equal returns give equal weights, a random walk.
    """
    theta, sigma, C, p_sigma, p_c, t = state  # noqa: N806  (the paper's symbol)
    weights, c_1, c_mu, rates = constants(returns.size, theta.size)
    z_w, z2_w = np.zeros_like(theta), np.zeros_like(theta)
    for i, w in enumerate(fitness.by_rank(returns.ravel(), weights)):  # in order: see `weighted_sum`
        if w:
            eps = noise(i).astype(np.float64)
            z_w += w * eps
            z2_w += w * eps**2
    y_w = np.sqrt(C) * z_w
    paths = evolution_paths.advance(rates, p_sigma, p_c, float(t) + 1, z_w, y_w)
    c_c = rates.c_c
    lost = c_1 * c_c * (2 - c_c) if paths.stalled else 0.0  # what a stalled path does not add
    new_c = (1 - c_1 - c_mu + lost) * C + c_1 * paths.p_c**2 + c_mu * C * z2_w
    new_theta = theta + sigma * y_w
    new_state = State(new_theta, sigma * paths.sigma_factor, new_c, paths.p_sigma, paths.p_c, t + 1)
    return new_state, describe(sigma * y_w, theta, new_theta)


def constants(population: int, dim: int) -> tuple[Array, float, float, Rates]:
    """The paper's defaults: weights, shape (population,), best first; c_1, c_mu; rates of the paths."""
    mu = population // 2
    raw = math.log(mu + 1) - np.log(np.arange(1, population + 1))
    weights = np.where(np.arange(population) < mu, raw, 0.0)
    weights /= np.sum(weights)
    mu_eff = evolution_paths.mass(weights)
    c_sigma = (mu_eff + 2) / (dim + mu_eff + 3)
    rates = Rates(mu_eff, c_sigma, evolution_paths.damping(mu_eff, dim, c_sigma), 4 / (dim + 4))
    rank_one = 2 / (dim + math.sqrt(2)) ** 2 / mu_eff
    rank_mu = (1 - 1 / mu_eff) * min(1.0, (2 * mu_eff - 1) / ((dim + 2) ** 2 + mu_eff))
    c_cov = min(1.0, (dim + 2) / 3 * (rank_one + rank_mu))
    return weights, c_cov / mu_eff, c_cov * (1 - 1 / mu_eff), rates
