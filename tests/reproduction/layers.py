"""A small fully connected network in single precision, its parameters one vector, and its gradient."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Single = NDArray[np.float32]


def initial(sizes: Sequence[int], rng: np.random.Generator, last: float = 0.1) -> Array:
    """Parameters at random: normal weights by the root of the inputs, the last layer's times ``last``."""
    parts = []
    for number, (inputs, units) in enumerate(pairwise(sizes), start=2):
        scale = last if number == len(sizes) else 1.0
        parts += [scale * rng.standard_normal(units * inputs) / np.sqrt(inputs), np.zeros(units)]
    return np.concatenate(parts)


def layers(theta: Array, sizes: Sequence[int]) -> list[Single]:
    """Weights, shape (units, inputs), and biases of each layer, in turn."""
    single, found, start = theta.astype(np.float32), [], 0
    for inputs, units in pairwise(sizes):
        end = start + units * inputs
        found += [single[start:end].reshape(units, inputs), single[end : end + units]]
        start = end + units
    return found


def forward(network: Sequence[Single], x: Single) -> list[Single]:
    """What each layer gives, the inputs first; all but the last through a tanh."""
    given = [x]
    for weights, biases in zip(network[::2], network[1::2], strict=True):
        x = given[-1] @ weights.T + biases
        given.append(x if len(given) == len(network) // 2 else np.tanh(x))
    return given


def backward(network: Sequence[Single], given: Sequence[Single], error: Single) -> Array:
    """The gradient of a loss whose gradient of the last layer's outputs is ``error``, shape (n, outputs)."""
    parts: list[Single] = []
    for weights, inputs in zip(reversed(network[::2]), reversed(given[:-1]), strict=True):
        parts = [(error.T @ inputs).ravel(), error.sum(axis=0), *parts]
        error = (error @ weights) * (1.0 - inputs**2)
    return np.concatenate(parts).astype(np.float64)
