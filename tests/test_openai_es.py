import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from es import config, noise
from es.config import Shaping
from es.strategies import openai_es

DIM = 5


def eps(pair: int) -> np.ndarray:
    return noise.perturbation(1, 1, pair, DIM)


def plain_sgd(**settings: object) -> config.OpenAIES:
    """Steps equal to the gradient, so that a step shows it."""
    return config.OpenAIES(optimizer=config.SGD(learning_rate=1.0, momentum=0.0), **settings)  # type: ignore[arg-type]  # keyword passthrough


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=1, max_size=20))
def test_the_gradient_is_that_of_equation_1(pairs: list[tuple[float, float]]) -> None:
    returns = np.array(pairs)
    strategy = plain_sgd(sigma=0.3, shaping="raw")
    state = openai_es.init(strategy, np.zeros(DIM))
    new, update = openai_es.tell(strategy, state, returns, returns, eps)
    n = returns.size
    expected = sum(
        F * sign * eps(i).astype(float)
        for i, pair in enumerate(pairs)
        for F, sign in zip(pair, (1, -1), strict=True)
    ) / (n * 0.3)
    np.testing.assert_allclose(new.theta, expected, atol=1e-12)
    assert update.gradient_norm == pytest.approx(np.linalg.norm(expected), abs=1e-12)


@pytest.mark.parametrize("shaping", ["centered_ranks", "raw", "sign", "centered_sign_ranks"])
@pytest.mark.parametrize("value", [0.0, -3.7, float("nan")])
def test_equal_returns_give_exactly_no_gradient(shaping: Shaping, value: float) -> None:
    strategy = config.OpenAIES(shaping=shaping)
    theta = np.linspace(-1, 1, DIM)
    returns = np.full((8, 2), value)
    new, update = openai_es.tell(strategy, openai_es.init(strategy, theta), returns, returns, eps)
    assert update.gradient_norm == 0.0
    np.testing.assert_array_equal(new.theta, theta)


def test_weight_decay_pulls_towards_zero() -> None:
    strategy = plain_sgd(weight_decay=0.1)
    returns = np.ones((4, 2))
    new, _ = openai_es.tell(strategy, openai_es.init(strategy, np.full(DIM, 2.0)), returns, returns, eps)
    np.testing.assert_allclose(new.theta, 1.8)


def test_the_update_ratio_relates_step_and_parameters() -> None:
    strategy = plain_sgd(weight_decay=0.5)
    returns = np.ones((4, 2))
    _, update = openai_es.tell(strategy, openai_es.init(strategy, np.full(DIM, 2.0)), returns, returns, eps)
    assert update.update_ratio == pytest.approx(0.5)
    assert update.parameter_norm == pytest.approx(np.sqrt(DIM))


@pytest.mark.parametrize("optimizer", [config.Adam(learning_rate=0.05), config.SGD(learning_rate=0.2)])
@pytest.mark.parametrize("shaping", ["centered_ranks", "raw"])
def test_it_climbs_a_sphere(optimizer: config.Adam | config.SGD, shaping: Shaping) -> None:
    strategy = config.OpenAIES(sigma=0.1, shaping=shaping, optimizer=optimizer)
    target = np.linspace(-1, 1, DIM)
    state = openai_es.init(strategy, np.zeros(DIM))
    for generation in range(150):
        draws = [noise.perturbation(9, generation, pair, DIM).astype(float) for pair in range(20)]
        returns = np.array(
            [[-np.sum((state.theta + s * 0.1 * e - target) ** 2) for s in (1, -1)] for e in draws]
        )
        state, _ = openai_es.tell(
            strategy, state, returns, returns, lambda pair, draws=draws: draws[pair]  # type: ignore[misc]  # binds the loop's value
        )  # fmt: skip
    assert np.linalg.norm(state.theta - target) < 0.05 * np.linalg.norm(target)
