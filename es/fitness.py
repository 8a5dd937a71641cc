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
    ordered = np.where(np.isnan(returns), -np.inf, returns).ravel()
    _, group, sizes = np.unique(ordered, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(sizes) - (sizes + 1) / 2
    return (mean_rank / (returns.size - 1) - 0.5)[group].reshape(returns.shape)


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
