"""PGPE: F. Sehnke, C. Osendorfer, T. Rückstieß, A. Graves, J. Peters, J. Schmidhuber, "Parameter-exploring
policy gradients", 2010, https://doi.org/10.1016/j.neunet.2009.12.004, with symmetric sampling. Ranks, ClipUp
and a limit on the change of sigma are those of N. E. Toklu, P. Liskowski, R. K. Srivastava, "ClipUp: a simple
and powerful optimizer for distribution-based policy evolution", 2020, https://arxiv.org/abs/2008.02387.

The mathematics is in the middle of ``tell``, with d_i = sigma * eps_i, all by parameter:

    F        shaped returns of theta + d_i and theta - d_i, b their mean
    g_theta  mean over pairs of (F+ - F-) / 2 d_i
    g_sigma  mean over pairs of ((F+ + F-) / 2 - b) (d_i^2 - sigma^2) / sigma
    theta <- theta + optimizer(g_theta)
    sigma <- sigma + sigma_learning_rate g_sigma, within sigma_max_change
"""  # noqa: D205  (the citation is the summary)

from typing import NamedTuple

import numpy as np

from es import config, fitness, optimizers
from es.strategies.update import Array, Noise, Update, describe


class State(NamedTuple):
    """The search distribution N(theta, diag(sigma^2)) and the optimiser of its centre."""

    theta: Array
    """The centre, shape (dim,)."""
    sigma: Array
    """Standard deviation of each parameter, shape (dim,)."""
    t: Array
    """Updates made, shape ()."""
    m: Array
    """First moment of the gradient or velocity, shape (dim,)."""
    v: Array
    """Second moment, shape (dim,), with Adam; else (0,)."""


def init(strategy: config.PGPE, theta: Array) -> State:
    """Start from the centre ``theta``, shape (dim,)."""
    sigma = np.full(theta.size, strategy.sigma)
    return State(theta, sigma, *optimizers.init(strategy.optimizer, theta.size))


def ask(strategy: config.PGPE, state: State) -> tuple[Array, Array]:
    """The distribution to sample: centre and standard deviations, both of shape (dim,)."""
    return state.theta, state.sigma


def tell(
    strategy: config.PGPE, state: State, returns: Array, sign_returns: Array, noise: Noise
) -> tuple[State, Update]:
    """Move centre and standard deviations along their estimated gradients.

    Args:
        strategy: its settings.
        state: what ``ask`` was called with.
        returns: shape (pairs, 2), returns of theta + sigma eps_i and theta - sigma eps_i; NaN where failed.
        sign_returns: same shape, each episode's sum of sign(reward); NaN where failed.
        noise: eps of a pair, shape (dim,), standard normal.

    Returns:
        The new state, and norms for the record. Equal returns give gradients of exactly zero.
    """
    theta, sigma, *moments = state
    F = fitness.shape(strategy.shaping, returns, sign_returns)  # noqa: N806  (the papers' symbol)
    F = F - F[0, 0]  # noqa: N806  (no gradient sees a constant; equal returns become exactly zero)
    slope, height = (F[:, 0] - F[:, 1]) / 2, (F[:, 0] + F[:, 1]) / 2 - np.mean(F)
    g_theta, g_sigma = np.zeros_like(theta), np.zeros_like(theta)
    for pair in range(len(F)):  # in order: see `weighted_sum`
        if slope[pair] or height[pair]:
            eps = noise(pair).astype(np.float64)
            g_theta += slope[pair] * eps
            g_sigma += height[pair] * (eps**2 - 1)
    g_theta *= sigma / len(F)
    g_sigma *= sigma / len(F)
    if not strategy.per_parameter_sigma:
        g_sigma = np.full_like(g_sigma, np.mean(g_sigma))
    new_moments, step = optimizers.ascend(strategy.optimizer, optimizers.Moments(*moments), g_theta)
    change = strategy.sigma_max_change * sigma
    new_sigma = sigma + np.clip(strategy.sigma_learning_rate * g_sigma, -change, change)
    new_theta = theta + step
    return State(new_theta, new_sigma, *new_moments), describe(g_theta, theta, new_theta)
