"""SNES: T. Schaul, T. Glasmachers, J. Schmidhuber, "High dimensions and heavy tails for natural evolution
strategies", 2011, https://doi.org/10.1145/2001576.2001692; D. Wierstra, T. Schaul, T. Glasmachers, Y. Sun,
J. Peters, J. Schmidhuber, "Natural evolution strategies", 2014,
https://www.jmlr.org/papers/v15/wierstra14a.html, algorithm 6.

The mathematics is in the middle of ``tell``, by parameter:

    u        utilities of theta + sigma eps_i by rank
    g_theta  sum_i u_i eps_i
    g_sigma  sum_i u_i (eps_i^2 - 1)
    theta <- theta + learning_rate sigma g_theta
    sigma <- sigma exp(sigma_learning_rate / 2 g_sigma)
"""  # noqa: D205  (the citation is the summary)

import math
from typing import NamedTuple

import numpy as np

from es import config, fitness
from es.strategies.update import Array, Noise, Update, describe


class State(NamedTuple):
    """The search distribution N(theta, diag(sigma^2))."""

    theta: Array
    """The centre, shape (dim,)."""
    sigma: Array
    """Standard deviation of each parameter, shape (dim,)."""


def init(strategy: config.SNES, theta: Array) -> State:
    """Start from the centre ``theta``, shape (dim,)."""
    return State(theta, np.full(theta.size, strategy.sigma))


def ask(strategy: config.SNES, state: State) -> tuple[Array, Array]:
    """The distribution to sample: centre and standard deviations, both of shape (dim,)."""
    return state.theta, state.sigma


def tell(
    strategy: config.SNES, state: State, returns: Array, sign_returns: Array, noise: Noise
) -> tuple[State, Update]:
    """Follow the natural gradient of the expected utility.

    Args:
        strategy: its settings.
        state: what ``ask`` was called with.
        returns: shape (pairs, 2), returns of theta + sigma eps_i in order of i; NaN where failed.
        sign_returns: unused.
        noise: eps_i, shape (dim,), standard normal.

    Returns:
        The new state, and norms for the record. Equal returns change nothing.
    """
    theta, sigma = state
    dim = theta.size
    g_theta, g_sigma = np.zeros(dim), np.zeros(dim)
    for i, u in enumerate(fitness.utilities(returns.ravel())):  # in order: see `weighted_sum`
        if u:
            eps = noise(i).astype(np.float64)
            g_theta += u * eps
            g_sigma += u * (eps**2 - 1)
    rate = strategy.sigma_learning_rate
    if rate is None:
        rate = (3 + math.log(dim)) / (5 * math.sqrt(dim))
    step = sigma * g_theta
    new_theta = theta + strategy.learning_rate * step
    new_sigma = sigma * np.exp(rate / 2 * g_sigma)
    return State(new_theta, new_sigma), describe(step, theta, new_theta)
