import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from es import config
from es.envs import lqr, registry
from es.errors import ExperimentError


def riccati_gain() -> np.ndarray:
    """The stationary feedback, found by iteration to a fixed point."""
    P = np.eye(2)
    for _ in range(2000):
        K = np.linalg.solve(lqr.R + lqr.B.T @ P @ lqr.B, lqr.B.T @ P @ lqr.A)
        P = lqr.Q + lqr.A.T @ P @ (lqr.A - lqr.B @ K)
    return K


def play(K: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    env = lqr.LQR()
    x, _ = env.reset(seed=seed)
    x0, total, done = x, 0.0, False
    while not done:
        x, reward, _, done, _ = env.step(-K @ x)
        total += reward
    return x0, total


@pytest.mark.parametrize("seed", range(5))
def test_the_best_feedback_reaches_the_analytic_optimum_and_no_other_does(seed: int) -> None:
    K = riccati_gain()
    x0, best = play(K, seed)
    assert best == pytest.approx(lqr.optimal_return(x0), rel=1e-4)
    assert best <= lqr.optimal_return(x0)
    assert play(K * 1.2, seed)[1] < best
    assert play(K * 0.8, seed)[1] < best


@pytest.mark.filterwarnings(
    "ignore:.*Box:UserWarning"
)  # the checker dislikes unbounded actions, which are the task
def test_it_is_a_gymnasium_environment() -> None:
    check_env(gymnasium.make("es/LQR-v0").unwrapped, skip_render_check=True)


def test_the_registry_explains_what_it_cannot_make() -> None:
    with pytest.raises(ExperimentError, match=r"environment\.id = 'Nope-v1': "):
        registry.make(config.Environment(id="Nope-v1"))
    with pytest.raises(ExperimentError, match=r"environment\.id = 'no_such_package:X-v0': No module named"):
        registry.make(config.Environment(id="no_such_package:X-v0"))
    with pytest.raises(
        ExperimentError, match=r"environment\.arguments = \{'speed': 3\}: es/LQR-v0 refuses: .*speed"
    ):
        registry.make(config.Environment(id="es/LQR-v0", arguments={"speed": 3}))
    with pytest.raises(ExperimentError, match="expected a horizon of at least 1 step, got 0"):
        registry.make(config.Environment(id="es/LQR-v0", arguments={"horizon": 0}))


def test_observations_that_are_no_vectors_are_flattened() -> None:
    env = registry.make(config.Environment(id="FrozenLake-v1"))
    assert env.observation_space.shape == (16,)
