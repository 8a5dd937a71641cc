"""Action heads: from the policy's outputs to an action that lies inside the action space."""

from typing import Any, Protocol

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from es import config
from es.errors import ExperimentError
from es.native.network import squash

Array = NDArray[np.float64]


class Head(Protocol):
    """Turns outputs into an action."""

    size: int
    """Number of outputs it takes."""

    def __call__(self, outputs: Array) -> Any:
        """Map outputs, shape (size,), to an action of the space."""


class SquashedHead:
    """bottom + (high - bottom) sigmoid(gain (x + bias)), bottom = low + floor (high - low), where bounded.

    Unbounded dimensions pass through.
    """

    def __init__(self, low: Array, high: Array, settings: config.Squashed) -> None:
        bounded = np.isfinite(low) & np.isfinite(high)
        if np.any(np.isfinite(low) != np.isfinite(high)):
            raise ExperimentError("policy.head: expected actions bounded on both sides or on none")
        self.size = low.size
        self.bounded = bounded
        lowest, self.top = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
        self.bottom = lowest + settings.floor * (self.top - lowest)
        self.bias, self.gain = settings.bias, settings.gain

    def __call__(self, outputs: Array) -> Array:
        """Squash outputs, shape (size,), into the bounds."""
        action = np.empty_like(outputs)
        squash(outputs, self.bottom, self.top, self.bounded, self.bias, self.gain, action)
        return action


class ClippedHead:
    """min(max(x, low), high); an infinite bound is none."""

    def __init__(self, low: Array, high: Array) -> None:
        self.size = low.size
        self.low, self.high = low, high

    def __call__(self, outputs: Array) -> Array:
        """Clip outputs, shape (size,), to the bounds."""
        return np.clip(outputs, self.low, self.high)


class BinnedHead:
    """Per action dimension the value whose output is largest; ``values`` has shape (dimensions, bins)."""

    def __init__(self, values: Array) -> None:
        self.size = values.size
        self.values = values
        self._rows = np.arange(len(values))

    def __call__(self, outputs: Array) -> Array:
        """Choose a value per dimension from outputs, shape (dimensions x bins,)."""
        chosen: Array = self.values[self._rows, outputs.reshape(self.values.shape).argmax(axis=1)]
        return chosen


class DiscreteHead:
    """The action whose output is largest."""

    def __init__(self, n: int, start: int) -> None:
        self.size = n
        self._start = start

    def __call__(self, outputs: Array) -> int:
        """Choose an action from outputs, shape (n,)."""
        return self._start + int(outputs.argmax())


def make(head: config.AnyHead, space: Space[Any]) -> Head:
    """The head for an action space.

    Raises:
        ExperimentError: this head cannot produce this space's actions.
    """
    if isinstance(space, spaces.Discrete):
        if not isinstance(head, config.Squashed):
            raise ExperimentError(f"policy.head: {space} is discrete already; leave the head out")
        return DiscreteHead(int(space.n), int(space.start))
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise ExperimentError(f"environment.id: expected a flat Box or Discrete action space, got {space}")
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    if isinstance(head, config.Squashed):
        return SquashedHead(low, high, head)
    if isinstance(head, config.Clipped):
        return ClippedHead(low, high)
    if isinstance(head, config.UniformBins):
        if not np.all(np.isfinite(low) & np.isfinite(high)):
            raise ExperimentError(
                "policy.head.kind = 'uniform_bins': expected bounded actions, got unbounded"
            )
        return BinnedHead(np.linspace(low, high, head.bins, axis=1))
    values = np.array(head.values)
    if values.min() < low.max() or values.max() > high.min():
        raise ExperimentError(
            f"policy.head.values = {list(head.values)}: expected values in [{low.max():g}, {high.min():g}]"
        )
    return BinnedHead(np.tile(values, (low.size, 1)))
