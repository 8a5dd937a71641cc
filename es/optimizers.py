"""Gradient ascent: Adam, SGD with momentum, and ClipUp. Pure functions over an explicit state."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from es import config

Array = NDArray[np.float64]


class Moments(NamedTuple):
    """What an optimiser remembers."""

    t: Array
    """Steps taken, shape ()."""
    m: Array
    """Running mean of the gradient, shape (dim,); ClipUp's velocity."""
    v: Array
    """Running mean of its square, shape (dim,); shape (0,) but for Adam."""


def init(optimizer: config.AnyOptimizer, dim: int) -> Moments:
    """No steps taken."""
    return Moments(np.zeros(()), np.zeros(dim), np.zeros(dim if isinstance(optimizer, config.Adam) else 0))


def ascend(optimizer: config.AnyOptimizer, moments: Moments, g: Array) -> tuple[Moments, Array]:
    """One step up the gradient ``g``, shape (dim,): the new state and the change of the parameters."""
    t = moments.t + 1
    if isinstance(optimizer, config.ClipUp):
        velocity = _clipup(optimizer, moments.m, g)
        return Moments(t, velocity, moments.v), velocity
    if isinstance(optimizer, config.SGD):
        m = optimizer.momentum * moments.m + (1 - optimizer.momentum) * g
        return Moments(t, m, moments.v), optimizer.learning_rate * m
    beta1, beta2 = optimizer.beta1, optimizer.beta2
    m = beta1 * moments.m + (1 - beta1) * g
    v = beta2 * moments.v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return Moments(t, m, v), optimizer.learning_rate * m_hat / (np.sqrt(v_hat) + optimizer.epsilon)


def _clipup(optimizer: config.ClipUp, velocity: Array, g: Array) -> Array:
    """Algorithm 1 of Toklu et al. 2020, https://arxiv.org/abs/2008.02387; no gradient adds no speed."""
    rate = optimizer.max_speed / 2 if optimizer.learning_rate is None else optimizer.learning_rate
    length = norm(g)
    velocity = optimizer.momentum * velocity
    if length:
        velocity += rate * (g / length)
    speed = norm(velocity)
    return velocity * (optimizer.max_speed / speed) if speed > optimizer.max_speed else velocity


def norm(x: Array) -> float:
    """Euclidean length. Not BLAS's, whose order of summation depends on the machine."""
    return float(np.sqrt(np.sum(x**2)))
