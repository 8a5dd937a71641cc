"""A small fully connected network in single precision, its parameters one vector, and its gradient."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from es.policies import mlp

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Layers = list[tuple[Single, Single]]


def initial(sizes: Sequence[int], rng: np.random.Generator, last: float = 0.1) -> Array:
    """Parameters at random: normal weights by the root of the inputs, the last layer's times ``last``."""
    parts = []
    for number, (inputs, units) in enumerate(pairwise(sizes), start=2):
        scale = last if number == len(sizes) else 1.0
        parts += [scale * rng.standard_normal(units * inputs) / np.sqrt(inputs), np.zeros(units)]
    return np.concatenate(parts)


def layers(theta: Array, sizes: Sequence[int]) -> Layers:
    """Weights, shape (units, inputs), and biases of each layer."""
    return mlp.layers(sizes, theta.astype(np.float32))


def forward(network: Layers, x: Single) -> list[Single]:
    """What each layer gives, the inputs first; all but the last through a tanh."""
    given = [x]
    for weights, biases in network:
        x = given[-1] @ weights.T + biases
        given.append(x if len(given) == len(network) else np.tanh(x))
    return given


def backward(network: Layers, given: Sequence[Single], error: Single) -> Array:
    """The gradient of a loss whose gradient of the last layer's outputs is ``error``, shape (n, outputs)."""
    parts: list[Single] = []
    for (weights, _), inputs in zip(reversed(network), reversed(given[:-1]), strict=True):
        parts = [(error.T @ inputs).ravel(), error.sum(axis=0), *parts]
        error = (error @ weights) * (1.0 - inputs**2)
    return np.concatenate(parts).astype(np.float64)
