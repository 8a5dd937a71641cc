"""What a moment of a run is worth: the metres still to come, which a fall would take.

A small network learns from whole episodes how likely a fall within `HORIZON` is, and how many metres the
runner makes until then if it stays up. It sees more than the runner does: activations and later obstacles.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from es import config, optimizers

Array = NDArray[np.float64]

HORIZON = 2.5
"""How far ahead falls are foreseen, s."""
SPEED = 2.9
"""Metres per second that a runner is expected to make later, falls included."""
LAST_STRIDE = 1.5
"""Metres that a runner makes before it lies on the ground."""

_HIDDEN = (96, 64)
_BATCH = 512
_DECAY = 1e-3
"""Of weights, per step, times the rate."""
_METRES_WEIGHT = 0.3
"""Of the squared error of metres beside the cross entropy of falls."""
_LIMIT = 5.0
"""Of features, standard deviations; of the offset, too."""
_NEWTON_STEPS = 20
_ONE_FALL = 1.0
"""Added to the curvature: where nobody falls, the offset goes down by degrees."""


class Trace(NamedTuple):
    """Moments of an episode."""

    features: Array
    """Shape (n, features)."""
    seconds: Array
    """Shape (n,)."""
    metres: Array
    """Where the pelvis was, shape (n,)."""
    end: float
    """When the episode ended, s."""
    distance: float
    """Where."""
    survived: bool


class Critic(NamedTuple):
    """The network, one vector of parameters, and the scales of its features and of its metres."""

    theta: Array
    sizes: tuple[int, ...]
    mean: Array
    spread: Array
    metres: tuple[float, float]
    offset: float = 0.0
    """Added to the logit of a fall: runners that fall less than those it learned from (`calibrated`)."""


def value(critic: Critic, features: Array, seconds: Array, *, episode: float) -> Array:
    """Metres to be expected until the end of an episode of so many seconds, shape (n,)."""
    raw = _forward(critic.theta, critic.sizes, _scaled(critic, features))[-1]
    falls, left = _sigmoid(raw[:, 0] + critic.offset), np.maximum(episode - seconds, 0.0)
    share = np.minimum(left / HORIZON, 1.0)
    ahead = share * (critic.metres[0] + critic.metres[1] * raw[:, 1])
    ahead += SPEED * np.maximum(left - HORIZON, 0.0)
    falls *= share
    worth: Array = (1.0 - falls) * ahead + falls * LAST_STRIDE * np.minimum(left / 2.0, 1.0)
    return worth


def fit(
    traces: Sequence[Trace],
    rng: np.random.Generator,
    *,
    episode: float,
    epochs: int,
    rate: float,
    critic: Critic | None = None,
) -> Critic:
    """A critic of these episodes, of at most so many seconds, by Adam; ``critic`` is where to go on from."""
    traces = [trace for trace in traces if len(trace.seconds)]
    features = np.concatenate([trace.features for trace in traces])
    labels = np.concatenate([_labels(trace, episode - HORIZON) for trace in traces])
    told = ~np.isnan(labels[:, 0])
    features, labels = features[told], labels[told]
    critic = critic or _new(features, labels, rng)
    x, theta = _scaled(critic, features), critic.theta
    metres = (labels[:, 1] - critic.metres[0]) / critic.metres[1]
    moments = optimizers.init(config.Adam(), theta.size)
    batches = len(x) // _BATCH
    for epoch in range(epochs):
        order = rng.permutation(len(x))
        now = rate * (0.5 + 0.5 * np.cos(np.pi * epoch / epochs))
        for i in range(batches):
            batch = order[i * _BATCH : (i + 1) * _BATCH]
            layers = _forward(theta, critic.sizes, x[batch])
            error = np.empty((_BATCH, 2))
            error[:, 0] = _sigmoid(layers[-1][:, 0]) - labels[batch, 0]
            error[:, 1] = _METRES_WEIGHT * np.nan_to_num(layers[-1][:, 1] - metres[batch])
            gradient = _backward(theta, critic.sizes, layers, error / _BATCH)
            moments, step = optimizers.ascend(config.Adam(learning_rate=now), moments, -gradient)
            theta = (1.0 - now * _DECAY) * theta + step
    return critic._replace(theta=theta)


def calibrated(critic: Critic, traces: Sequence[Trace], *, episode: float) -> Critic:
    """The same, foreseeing as many falls as these episodes had: the most likely offset, by Newton's steps."""
    traces = [trace for trace in traces if len(trace.seconds)]
    labels = np.concatenate([_labels(trace, episode - HORIZON) for trace in traces])[:, 0]
    told = ~np.isnan(labels)
    features = np.concatenate([trace.features for trace in traces])[told]
    logits = _forward(critic.theta, critic.sizes, _scaled(critic, features))[-1][:, 0]
    offset = 0.0
    for _ in range(_NEWTON_STEPS):
        falls = _sigmoid(logits + offset)
        step = np.sum(labels[told] - falls) / (np.sum(falls * (1.0 - falls)) + _ONE_FALL)
        offset += min(max(float(step), -1.0), 1.0)
    return critic._replace(offset=min(max(offset, -_LIMIT), _LIMIT))


def _labels(trace: Trace, last: float) -> Array:
    """Of each moment whether a fall follows, and the metres made if not, shape (n, 2); NaN is not known.

    Moments after ``last`` count as not known: only of falls one would know.
    """
    labels = np.full((len(trace.seconds), 2), np.nan)
    known = trace.seconds <= last
    falls = known & (trace.end - trace.seconds <= HORIZON)
    labels[known, 0] = falls[known]
    later = np.interp(trace.seconds + HORIZON, [*trace.seconds, trace.end], [*trace.metres, trace.distance])
    stays = known & ~falls
    labels[stays, 1] = (later - trace.metres)[stays]
    return labels


def _new(features: Array, labels: Array, rng: np.random.Generator) -> Critic:
    sizes = (features.shape[1], *_HIDDEN, 2)
    layers = []
    for inputs, units in pairwise(sizes):
        last = units == 2
        weights = rng.standard_normal((units, inputs)) * (0.1 if last else 1.0) / np.sqrt(inputs)
        layers += [weights.ravel(), np.zeros(units)]
    metres = labels[~np.isnan(labels[:, 1]), 1]
    scale = (float(metres.mean()), float(metres.std()) + 0.01) if len(metres) else (0.0, 1.0)
    return Critic(np.concatenate(layers), sizes, features.mean(axis=0), features.std(axis=0) + 0.01, scale)


def _scaled(critic: Critic, features: Array) -> Array:
    return np.clip((features - critic.mean) / critic.spread, -_LIMIT, _LIMIT)


def _sigmoid(x: Array) -> Array:
    share: Array = 1.0 / (1.0 + np.exp(-x))
    return share


def _layers(theta: Array, sizes: tuple[int, ...]) -> list[tuple[Array, Array]]:
    """Views of the weights, shape (units, inputs), and biases of each layer."""
    layers, start = [], 0
    for inputs, units in pairwise(sizes):
        end = start + units * inputs
        layers.append((theta[start:end].reshape(units, inputs), theta[end : end + units]))
        start = end + units
    return layers


def _forward(theta: Array, sizes: tuple[int, ...], x: Array) -> list[Array]:
    """What each layer gives, the inputs first; all but the last through a tanh."""
    given = [x]
    for weights, biases in _layers(theta, sizes):
        x = given[-1] @ weights.T + biases
        given.append(x if len(given) == len(sizes) - 1 else np.tanh(x))
    return given


def _backward(theta: Array, sizes: tuple[int, ...], given: list[Array], error: Array) -> Array:
    """The gradient of a loss whose gradient of the last layer's outputs is ``error``, shape (n, 2)."""
    gradient = np.empty_like(theta)
    layers, parts = _layers(theta, sizes), _layers(gradient, sizes)
    for i in reversed(range(len(layers))):
        parts[i][0][:], parts[i][1][:] = error.T @ given[i], error.sum(axis=0)
        error = (error @ layers[i][0]) * (1.0 - given[i] ** 2)
    return gradient
