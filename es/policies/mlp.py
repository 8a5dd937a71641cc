"""Fully connected policies over one flat parameter vector; without hidden layers, a linear policy."""

import itertools
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from es.config import Activation, Initial
from es.errors import ExperimentError
from es.native import network
from es.native.network import Network
from es.policies.heads import Head
from es.policies.policy import OneNetwork

Array = NDArray[np.float64]
F = TypeVar("F", bound=np.floating)

_CODES: dict[Activation, int] = {
    "tanh": network.TANH,
    "relu": network.RELU,
    "elu": network.ELU,
    "lrelu": network.LRELU,
}
_NO_INDICES = np.zeros(0, dtype=np.int64)


def count_params(sizes: tuple[int, ...]) -> int:
    """Number of weights and biases of a network of these layers."""
    return sum(outputs * (inputs + 1) for inputs, outputs in itertools.pairwise(sizes))


def layers(sizes: Sequence[int], theta: NDArray[F]) -> list[tuple[NDArray[F], NDArray[F]]]:
    """Views of ``theta`` per layer: weights, shape (outputs, inputs), and biases, shape (outputs,)."""
    views, start = [], 0
    for inputs, outputs in itertools.pairwise(sizes):
        middle, end = start + outputs * inputs, start + outputs * (inputs + 1)
        views.append((theta[start:middle].reshape(outputs, inputs), theta[middle:end]))
        start = end
    return views


class Layers:
    """Inputs -> hidden layers -> outputs. Holds shapes only; parameters are passed in.

    ``theta`` is each layer's weights (outputs x inputs, row-major) followed by its biases, first layer first.
    """

    def __init__(self, inputs: int, hidden: tuple[int, ...], activation: Activation, outputs: int) -> None:
        self.sizes = (inputs, *hidden, outputs)
        self.num_params = count_params(self.sizes)
        self._activation = _CODES[activation]

    def initial(self, rng: np.random.Generator) -> Array:
        """Random parameters: each unit's weights have norm 1, the last layer's 0.01; biases are zero.

        With a last layer this small every action starts near the middle of its range.
        """
        theta = np.zeros(self.num_params)
        for weights, _ in layers(self.sizes, theta):
            draw = rng.standard_normal(weights.shape)
            weights[:] = draw / np.linalg.norm(draw, axis=1, keepdims=True)
        weights *= 0.01
        return theta

    def widen(self, theta: Array, sizes: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Parameters that act like a narrower network of layer ``sizes`` with parameters ``theta``.

        New units receive the weights of ``initial`` but nothing listens to them yet; new observations are
        ignored at first.

        Raises:
            ExperimentError: the other network is wider somewhere, or of another depth or output size.
        """
        comparable = len(sizes) == len(self.sizes) and sizes[-1] == self.sizes[-1]
        if not comparable or any(old > new for old, new in zip(sizes, self.sizes, strict=True)):
            raise ExperimentError(
                f"warm_start.checkpoint: expected a network with the depth and outputs of {list(self.sizes)} "
                f"and nowhere wider, got {list(sizes)}"
            )
        widened = self.initial(rng)
        new, old = layers(self.sizes, widened), layers(sizes, theta)
        for (weights, biases), (old_weights, old_biases) in zip(new, old, strict=True):
            outputs, inputs = old_weights.shape
            weights[:outputs] = 0.0
            weights[:outputs, :inputs] = old_weights
            biases[:outputs] = old_biases
        return widened

    def network(self, theta: Array) -> Network:
        """What the compiled forward pass needs, with these parameters."""
        sizes = np.array(self.sizes, dtype=np.int64)
        return Network(
            np.ascontiguousarray(theta),
            sizes,
            self._activation,
            _NO_INDICES,
            0.0,
            0,
            np.zeros(0),
            _NO_INDICES,
            np.zeros(0),
        )


class MLP(Layers, OneNetwork):
    """Observation -> hidden layers -> head."""

    def __init__(
        self,
        observation_size: int,
        hidden: tuple[int, ...],
        activation: Activation,
        head: Head,
        initial: Initial = "random",
    ) -> None:
        super().__init__(observation_size, hidden, activation, head.size)
        self.head = head
        self._initial = initial

    def initial(self, rng: np.random.Generator) -> Array:
        """Where a search begins: random, as `Layers.initial`, or zero."""
        return np.zeros(self.num_params) if self._initial == "zero" else super().initial(rng)
