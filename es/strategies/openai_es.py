"""OpenAI-ES: T. Salimans, J. Ho, X. Chen, S. Sidor, I. Sutskever, "Evolution strategies as a scalable
alternative to reinforcement learning", 2017, https://arxiv.org/abs/1703.03864, algorithm 2.

The mathematics is the four lines in the middle of ``tell``:

    F            shaped returns of theta + sigma eps_i and theta - sigma eps_i
    g  = 1/(n sigma) sum_i F_i eps_i      over all n = 2 x pairs perturbations
    g <- g - weight_decay theta
    theta <- theta + optimizer(g)
"""  # noqa: D205  (the citation is the summary)

from typing import NamedTuple

import numpy as np

from es import config, fitness, optimizers
from es.strategies.update import Array, Noise, Update, describe, weighted_sum


class State(NamedTuple):
    """The search distribution N(theta, sigma^2 I) and its optimiser."""

    theta: Array
    """The centre, shape (dim,)."""
    t: Array
    """Updates made, shape ()."""
    m: Array
    """First moment of the gradient, shape (dim,)."""
    v: Array
    """Second moment, shape (dim,), with Adam; else (0,)."""


def init(strategy: config.OpenAIES, theta: Array) -> State:
    """Start from the centre ``theta``, shape (dim,)."""
    return State(theta, *optimizers.init(strategy.optimizer, theta.size))


def ask(strategy: config.OpenAIES, state: State) -> tuple[Array, Array]:
    """The distribution to sample: centre, shape (dim,), and standard deviation, shape (1,)."""
    return state.theta, np.array([strategy.sigma])


def tell(
    strategy: config.OpenAIES, state: State, returns: Array, sign_returns: Array, noise: Noise
) -> tuple[State, Update]:
    """Move the centre along the estimated gradient.

    Args:
        strategy: its settings.
        state: what ``ask`` was called with.
        returns: shape (pairs, 2), returns of theta + sigma eps_i and theta - sigma eps_i; NaN where failed.
        sign_returns: same shape, each episode's sum of sign(reward); NaN where failed.
        noise: eps of a pair, shape (dim,), standard normal.

    Returns:
        The new state, and norms for the record. Equal returns give a g of exactly zero before decay.
    """
    theta, *moments = state
    F = fitness.shape(strategy.shaping, returns, sign_returns)  # noqa: N806  (the paper's symbol)
    # Mirrored noise: F+ eps + F- (-eps).
    g = weighted_sum(F[:, 0] - F[:, 1], noise, theta.size)
    g /= F.size * strategy.sigma
    g -= strategy.weight_decay * theta
    new_moments, step = optimizers.ascend(strategy.optimizer, optimizers.Moments(*moments), g)
    new_theta = theta + step
    return State(new_theta, *new_moments), describe(g, theta, new_theta)
