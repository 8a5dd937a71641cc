"""ARS: H. Mania, A. Guy, B. Recht, "Simple random search provides a competitive approach to reinforcement
learning", 2018, https://arxiv.org/abs/1803.07055, algorithm 2.

V2 normalises observations and V1 does not (`observation_normalization.enabled`); V1-t and V2-t go by the
``top`` directions only. The mathematics is in the middle of ``tell``:

    r            returns of theta + sigma eps_i and theta - sigma eps_i
    top          directions with the largest max(r+, r-)
    sigma_R      standard deviation of their 2 x top returns
    g = 1/(top sigma_R) sum over top of (r+ - r-) eps_i
    theta <- theta + step_size g
"""  # noqa: D205  (the citation is the summary)

from typing import NamedTuple

import numpy as np

from es import config, fitness
from es.strategies.update import Array, Noise, Update, describe, weighted_sum


class State(NamedTuple):
    """The search distribution N(theta, sigma^2 I)."""

    theta: Array
    """The centre, shape (dim,)."""


def init(strategy: config.ARS, theta: Array) -> State:
    """Start from the centre ``theta``, shape (dim,); the paper's are zeros."""
    return State(theta)


def ask(strategy: config.ARS, state: State) -> tuple[Array, Array]:
    """The distribution to sample: centre, shape (dim,), and standard deviation, shape (1,)."""
    return state.theta, np.array([strategy.sigma])


def tell(
    strategy: config.ARS, state: State, returns: Array, sign_returns: Array, noise: Noise
) -> tuple[State, Update]:
    """Step along the directions that mattered, by how much they mattered.

    Args:
        strategy: its settings.
        state: what ``ask`` was called with.
        returns: shape (pairs, 2), returns of theta + sigma eps_i and theta - sigma eps_i; NaN where failed
            counts as the worst of them.
        sign_returns: unused.
        noise: eps of a pair, shape (dim,), standard normal.

    Returns:
        The new state, and norms for the record. Equal returns change nothing.
    """
    theta = state.theta
    r = fitness.raw(returns)
    top = np.argsort(-np.max(r, axis=1), kind="stable")[: strategy.top]  # None is all of them
    sigma_r = np.std(r[top])
    weights = np.zeros(len(r))
    if sigma_r:
        weights[top] = (r[top, 0] - r[top, 1]) / (len(top) * sigma_r)
    g = weighted_sum(weights, noise, theta.size)
    new_theta = theta + strategy.step_size * g
    return State(new_theta), describe(g, theta, new_theta)
