"""Random search: J. Bergstra, Y. Bengio, "Random search for hyper-parameter optimization", JMLR 13 (2012)
281-305, https://jmlr.org/papers/v13/bergstra12a.html, with normal samples around the centre.

    theta <- the best of theta + sigma eps_i

One large generation of it finds something for a better strategy to start from.
"""  # noqa: D205  (the citation is the summary)

from typing import NamedTuple

import numpy as np

from es import config
from es.strategies.update import Array, Noise, Update, describe


class State(NamedTuple):
    """The search distribution N(theta, sigma^2 I)."""

    theta: Array
    """The centre, shape (dim,)."""


def init(settings: config.RandomSearch, theta: Array) -> State:
    """Start from the centre ``theta``, shape (dim,)."""
    return State(theta)


def ask(settings: config.RandomSearch, state: State) -> tuple[Array, Array]:
    """The distribution to sample: centre, shape (dim,), and standard deviation, shape (1,)."""
    return state.theta, np.array([settings.sigma])


def tell(
    settings: config.RandomSearch, state: State, returns: Array, sign_returns: Array, noise: Noise
) -> tuple[State, Update]:
    """Move the centre to the best sample, the first of equals.

    Args:
        settings: of the strategy.
        state: what ``ask`` was called with.
        returns: shape (pairs, 2), returns of theta + sigma eps_i in order of i; NaN where failed.
        sign_returns: unused.
        noise: eps_i, shape (dim,), standard normal.

    Returns:
        The new state, and norms for the record. The centre stays where all failed.
    """
    if np.isnan(returns).all():
        step = np.zeros_like(state.theta)
    else:
        step = settings.sigma * noise(int(np.nanargmax(returns))).astype(np.float64)
    theta = state.theta + step
    return State(theta), describe(step, state.theta, theta)
