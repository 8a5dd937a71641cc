"""Fitness shaping: returns in, weights out. Higher is better, everywhere.

Ranks make the update invariant to any monotone change of the returns (Wierstra et al. 2014, "Natural
evolution strategies", section 4.1); the centred ones lie in [-0.5, 0.5] (Salimans et al. 2017). Failed
evaluations are NaN and always count as the worst of their generation.
"""

import numpy as np
from numpy.typing import NDArray

from es.config import Shaping

Array = NDArray[np.float64]


def centered_ranks(returns: Array) -> Array:
    """Ranks scaled to [-0.5, 0.5]; ties share their mean rank, NaN ties with NaN below all else.

    Args:
        returns: any shape with at least two entries.

    Returns:
        The same shape; entries sum to zero, and are exactly zero where all returns are equal.
    """
    if returns.size < 2:
        raise ValueError(f"expected at least 2 returns to rank, got {returns.size}")
    group, sizes = _ties(returns)
    mean_rank = np.cumsum(sizes) - (sizes + 1) / 2
    return (mean_rank / (returns.size - 1) - 0.5)[group].reshape(returns.shape)


def by_rank(returns: Array, weights: Array) -> Array:
    """Hand out weights by rank; ties share the mean of theirs, NaN ties with NaN below all else.

    Args:
        returns: any shape.
        weights: shape (returns.size,), that of the best return first.

    Returns:
        The shape of ``returns``.
    """
    group, sizes = _ties(returns)
    ends = np.cumsum(sizes)
    ascending = weights[::-1]
    means = [np.mean(ascending[end - size : end]) for end, size in zip(ends, sizes, strict=True)]
    return np.array(means)[group].reshape(returns.shape)


def _ties(returns: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of each return the group of equals it belongs to, worst first, and how many each group has."""
    ordered = np.where(np.isnan(returns), -np.inf, returns).ravel()
    _, group, sizes = np.unique(ordered, return_inverse=True, return_counts=True)
    return group, sizes


def utilities(returns: Array) -> Array:
    """The rank weights of natural evolution strategies (Wierstra et al. 2014, table 1).

    max(0, log(n/2 + 1) - log(rank)), scaled to a sum of 1, minus 1/n: only the better half counts.

    Returns:
        The shape of ``returns``; entries sum to zero, and are exactly zero where all returns are equal.
    """
    n = returns.size
    u = np.maximum(0.0, np.log(n / 2 + 1) - np.log(np.arange(1, n + 1)))
    weights = by_rank(returns, u / np.sum(u) - 1 / n)
    return np.zeros_like(weights) if np.ptp(weights) == 0.0 else weights


def raw(returns: Array) -> Array:
    """The returns themselves; NaN becomes the worst return that is not NaN (zero if there is none)."""
    failed = np.isnan(returns)
    worst = 0.0 if failed.all() else float(np.min(returns[~failed]))
    return np.where(failed, worst, returns)


def shape(shaping: Shaping, returns: Array, sign_returns: Array) -> Array:
    """Weights of a generation.

    Args:
        shaping: ``centered_ranks`` or ``raw`` of the returns; ``centered_sign_ranks`` or ``sign`` for the
            same two of the sign returns.
        returns: shape (pairs, 2), the + and - episode of each pair, NaN where failed.
        sign_returns: same shape, each episode's sum of sign(reward), NaN where failed.
    """
    source = sign_returns if shaping in ("sign", "centered_sign_ranks") else returns
    return raw(source) if shaping in ("raw", "sign") else centered_ranks(source)
