"""What a moment of a run is worth: the metres still to come, as a small network foresees them.

The network tells a speed, falls included; what a moment is worth is that speed times what is left of the
episode, so that nothing is left to learn about the end of the time. It sees more than the runner does.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from es import config, optimizers
from tests.reproduction import layers

Array = NDArray[np.float64]

HIDDEN = (128, 128)
ADAM = config.Adam(learning_rate=4e-4)
BATCH = 1024
SHORTEST = 0.3
"""What is left counts as at least this, s: metres by nearly no seconds tell no speed."""
_LIMIT = 6.0
"""Of features, standard deviations."""
_LARGEST_ERROR = 3.0
"""Of a speed, standard deviations; larger ones pull no harder (P. Huber 1964)."""


class Lesson(NamedTuple):
    """Moments of episodes."""

    features: Array
    """Shape (n, features)."""
    left: Array
    """Of the episode's time, s, shape (n,)."""
    metres: Array
    """That were still to come, less what a fall costs, shape (n,)."""


class Critic(NamedTuple):
    """The network, one vector of parameters, the scales of its features and of speeds, and its optimiser."""

    theta: Array
    sizes: tuple[int, ...]
    mean: Array
    spread: Array
    speed: tuple[float, float]
    moments: optimizers.Moments


def begin(lesson: Lesson, rng: np.random.Generator) -> Critic:
    """A critic for moments like these, which has learned nothing yet."""
    sizes = (lesson.features.shape[1], *HIDDEN, 1)
    theta, speeds = layers.initial(sizes, rng), _speeds(lesson)
    mean, spread = lesson.features.mean(axis=0), lesson.features.std(axis=0) + 0.01
    speed = (float(speeds.mean()), float(speeds.std()) + 0.01)
    return Critic(theta, sizes, mean, spread, speed, optimizers.init(ADAM, theta.size))


def value(critic: Critic, features: Array, left: Array) -> Array:
    """Metres to be expected in the time that is left, s, shape (n,)."""
    network = layers.layers(critic.theta, critic.sizes)
    raw = layers.forward(network, _scaled(critic, features))[-1][:, 0]
    mean, spread = critic.speed
    metres: Array = (mean + spread * raw) * np.maximum(left, SHORTEST)
    return metres


def learn(critic: Critic, lessons: Sequence[Lesson], rng: np.random.Generator, epochs: int) -> Critic:
    """A critic that has gone through these lessons so many times, by Adam, in single precision."""
    lesson = joined(lessons)
    x = _scaled(critic, lesson.features)
    wanted = ((_speeds(lesson) - critic.speed[0]) / critic.speed[1]).astype(np.float32)
    theta, moments = critic.theta, critic.moments
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for first in range(0, len(x) - BATCH + 1, BATCH):
            batch = order[first : first + BATCH]
            network = layers.layers(theta, critic.sizes)
            given = layers.forward(network, x[batch])
            error = np.clip(given[-1][:, 0] - wanted[batch], -_LARGEST_ERROR, _LARGEST_ERROR)
            gradient = layers.backward(network, given, error[:, None] / BATCH)
            moments, step = optimizers.ascend(ADAM, moments, -gradient)
            theta = theta + step
    return critic._replace(theta=theta, moments=moments)


def joined(lessons: Sequence[Lesson]) -> Lesson:
    """All of them in one."""
    return Lesson(*(np.concatenate(each) for each in zip(*lessons, strict=True)))


def _speeds(lesson: Lesson) -> Array:
    speeds: Array = lesson.metres / np.maximum(lesson.left, SHORTEST)
    return speeds


def _scaled(critic: Critic, features: Array) -> NDArray[np.float32]:
    return np.clip((features - critic.mean) / critic.spread, -_LIMIT, _LIMIT).astype(np.float32)
