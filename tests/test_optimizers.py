import math

import numpy as np

from es import config, optimizers

RNG = np.random.default_rng(0)
GRADIENTS = RNG.standard_normal((20, 3))


def test_adam_follows_algorithm_1_of_the_paper() -> None:
    settings = config.Adam(learning_rate=0.1, beta1=0.8, beta2=0.9, epsilon=1e-6)
    moments, theta = optimizers.init(settings, 3), np.zeros(3)
    m, v, expected = [0.0] * 3, [0.0] * 3, [0.0] * 3
    for t, g in enumerate(GRADIENTS, start=1):
        moments, step = optimizers.ascend(settings, moments, g)
        theta = theta + step
        for i in range(3):
            m[i] = 0.8 * m[i] + 0.2 * g[i]
            v[i] = 0.9 * v[i] + 0.1 * g[i] ** 2
            expected[i] += 0.1 * (m[i] / (1 - 0.8**t)) / (math.sqrt(v[i] / (1 - 0.9**t)) + 1e-6)
        np.testing.assert_allclose(theta, expected, rtol=1e-12)


def test_sgd_with_momentum_ends_at_full_speed_on_a_constant_gradient() -> None:
    settings = config.SGD(learning_rate=0.5, momentum=0.9)
    moments = optimizers.init(settings, 2)
    g = np.array([1.0, -2.0])
    for t in range(1, 200):
        moments, step = optimizers.ascend(settings, moments, g)
        np.testing.assert_allclose(step, 0.5 * g * (1 - 0.9**t))


def test_a_zero_gradient_at_rest_moves_nothing() -> None:
    for settings in (config.Adam(), config.SGD(), config.ClipUp()):
        _, step = optimizers.ascend(settings, optimizers.init(settings, 4), np.zeros(4))
        assert np.all(step == 0.0)


def test_clipup_steps_by_the_direction_of_the_gradient_alone_and_never_faster_than_its_limit() -> None:
    """Algorithm 1 of Toklu et al. 2020."""
    settings = config.ClipUp(max_speed=0.3, momentum=0.8)
    ours, scaled = optimizers.init(settings, 3), optimizers.init(settings, 3)
    velocity = np.zeros(3)
    for g in GRADIENTS:
        velocity = 0.8 * velocity + 0.15 * g / np.linalg.norm(g)
        velocity *= min(1.0, 0.3 / np.linalg.norm(velocity))
        ours, step = optimizers.ascend(settings, ours, g)
        scaled, scaled_step = optimizers.ascend(settings, scaled, 1e6 * g)
        np.testing.assert_allclose(step, velocity, rtol=1e-12)
        np.testing.assert_allclose(scaled_step, step, rtol=1e-12)


def test_clipup_without_a_gradient_coasts() -> None:
    settings = config.ClipUp(max_speed=0.3, learning_rate=0.1, momentum=0.5)
    moments, step = optimizers.ascend(settings, optimizers.init(settings, 2), np.array([0.0, 2.0]))
    np.testing.assert_allclose(step, [0.0, 0.1])
    _, step = optimizers.ascend(settings, moments, np.zeros(2))
    np.testing.assert_allclose(step, [0.0, 0.05])
