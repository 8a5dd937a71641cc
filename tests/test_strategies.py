"""What all strategies promise, and each of them."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from es import config, noise
from es.envs import lqr
from es.errors import ExperimentError
from es.strategies import matrices, registry
from es.strategies.registry import State
from tests import in_process

DIM = 4
ALL: dict[str, config.AnyStrategy] = {
    "openai_es": config.OpenAIES(sigma=0.1, optimizer=config.Adam(learning_rate=0.05)),
    "ars": config.ARS(step_size=0.05, sigma=0.05),
    "ars_top": config.ARS(step_size=0.02, sigma=0.05, top=5),
    "pgpe": config.PGPE(sigma=0.3, optimizer=config.ClipUp(max_speed=0.05)),
    "pgpe_adam": config.PGPE(sigma=0.3, optimizer=config.Adam(learning_rate=0.05)),
    "snes": config.SNES(sigma=0.3),
    "sep_cma_es": config.SepCMAES(),
    "cma_es": config.CMAES(),
    "cma_es_passive": config.CMAES(active=False),
}
RANKED = [name for name in ALL if not name.startswith("ars")]
UNMOVED = [name for name in ALL if "cma" not in name]  # CMA-ES walks at random where all is equal
few = settings(max_examples=20)  # of each strategy
ADAPTIVE = ["snes", "sep_cma_es", "cma_es", "cma_es_passive"]

returns = npst.arrays(np.float64, st.tuples(st.integers(2, 10), st.just(2)), elements=st.integers(-50, 50))


def eps(index: int) -> np.ndarray:
    return noise.perturbation(1, 1, index, DIM)


def told(name: str, returns: np.ndarray) -> State:
    """The state after a first generation with these returns."""
    strategy = ALL[name]
    if isinstance(strategy, config.ARS) and strategy.top:
        strategy = config.ARS(top=min(strategy.top, len(returns)))
    return registry.tell(strategy, registry.init(strategy, np.ones(DIM)), returns, returns, eps)[0]


def assert_same(a: State, b: State) -> None:
    for left, right in zip(a._asdict().values(), b._asdict().values(), strict=True):
        np.testing.assert_array_equal(left, right)


def climb(
    strategy: config.AnyStrategy, objective: Callable[[np.ndarray], float], pairs: int, generations: int
) -> State:
    state = registry.init(strategy, np.zeros(DIM))
    for g in range(generations):
        centre, scale = registry.ask(strategy, state)
        mirrored = registry.mirrored(strategy)
        draws = [noise.perturbation(9, g, i, DIM) for i in range(pairs if mirrored else 2 * pairs)]
        steps = [registry.displaced(scale, draw.astype(np.float64)) for draw in draws]
        signed = [sign * step for step in steps for sign in (1, -1)] if mirrored else steps
        returns = np.array([objective(centre + step) for step in signed]).reshape(-1, 2)
        state, _ = registry.tell(strategy, state, returns, returns, draws.__getitem__)
    return state


TARGET = np.linspace(-1, 1, DIM)


def sphere(x: np.ndarray) -> float:
    return -float(np.sum((x - TARGET) ** 2))


def ellipsoid(x: np.ndarray) -> float:
    return -float(np.sum(10.0 ** np.arange(DIM) * (x - TARGET) ** 2))


def rosenbrock(x: np.ndarray) -> float:
    return -float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


@pytest.mark.parametrize("name", ALL)
def test_it_climbs_a_sphere(name: str) -> None:
    state = climb(ALL[name], sphere, pairs=10, generations=150)
    assert np.linalg.norm(state.theta - TARGET) < 0.05


@pytest.mark.parametrize("name", ADAPTIVE)
def test_those_that_adapt_their_scale_find_the_bottom_of_an_ellipsoid(name: str) -> None:
    assert ellipsoid(climb(ALL[name], ellipsoid, pairs=6, generations=250).theta) > -1e-9


@pytest.mark.parametrize("name", ["cma_es", "cma_es_passive"])
def test_a_full_covariance_follows_the_bent_valley_of_rosenbrock(name: str) -> None:
    assert rosenbrock(climb(ALL[name], rosenbrock, pairs=6, generations=250).theta) > -1e-9


@pytest.mark.parametrize("name", UNMOVED)
@few
@given(value=st.floats(-1e6, 1e6) | st.just(float("nan")), pairs=st.integers(2, 10))
def test_equal_returns_change_nothing(name: str, value: float, pairs: int) -> None:
    state = told(name, np.full((pairs, 2), value))
    started = registry.init(ALL[name], np.ones(DIM))
    np.testing.assert_array_equal(state.theta, started.theta)
    np.testing.assert_array_equal(state._asdict().get("sigma", 0.0), started._asdict().get("sigma", 0.0))


@pytest.mark.parametrize("name", RANKED)
@few
@given(x=returns)
def test_ranks_alone_count(name: str, x: np.ndarray) -> None:
    assert_same(told(name, x), told(name, np.exp(x / 10) * 3 - 1))


@pytest.mark.parametrize("name", ALL)
@few
@given(x=returns, data=st.data())
def test_failed_episodes_count_as_worst(name: str, x: np.ndarray, data: st.DataObject) -> None:
    failed = data.draw(npst.arrays(np.bool_, x.shape))
    finite = x[~failed] if not failed.all() else np.zeros(1)
    # Where returns count by size, a failure is as bad as the worst that did not fail.
    worst = finite.min() - (1.0 if name in RANKED else 0.0)
    assert_same(told(name, np.where(failed, np.nan, x)), told(name, np.where(failed, worst, x)))


@pytest.mark.parametrize("name", ALL)
def test_a_state_is_float64_arrays_led_by_the_centre_and_can_be_restored(name: str) -> None:
    state = told(name, np.arange(12.0).reshape(6, 2))
    fields = state._asdict()
    assert next(iter(fields)) == "theta"
    assert all(np.asarray(array).dtype == np.float64 for array in fields.values())
    assert_same(registry.restore(ALL[name], fields), state)


@pytest.mark.parametrize(
    "strategy", [config.CMAES(), config.PGPE(sigma=0.3, optimizer=config.ClipUp(max_speed=0.3))]
)
def test_workers_run_the_policies_that_the_update_is_about(strategy: config.AnyStrategy) -> None:
    """Wherever the two disagreed about a perturbation, training would lead nowhere."""
    raw = {
        "name": "lqr",
        "environment": {"id": "es/LQR-v0"},
        "strategy": msgspec.to_builtins(strategy),
        "population": {"size": 16},
        "observation_normalization": {"enabled": False},
        "budget": {"generations": 30},
        "evaluation": {"episodes": 5},
    }
    experiment = config.convert(raw, "lqr")
    returns = in_process.evaluation_returns(experiment, in_process.train(experiment))
    env = lqr.LQR()
    seeds = range(experiment.evaluation.seed, experiment.evaluation.seed + experiment.evaluation.episodes)
    best = np.mean([lqr.optimal_return(env.reset(seed=seed)[0]) for seed in seeds])
    assert np.mean(returns) == pytest.approx(best, rel=0.25)


def test_pgpe_changes_no_sigma_by_more_than_its_limit() -> None:
    strategy = config.PGPE(sigma=0.5, sigma_learning_rate=1e6, sigma_max_change=0.2)
    x = np.array([[5.0, 4.0], [1.0, 2.0], [0.0, 0.0]])
    state, _ = registry.tell(strategy, registry.init(strategy, np.ones(DIM)), x, x, eps)
    np.testing.assert_allclose(np.abs(state.sigma - 0.5), 0.1)


def test_pgpe_may_share_one_sigma_that_changes_by_the_mean() -> None:
    x = np.array([[5.0, 4.0], [1.0, 2.0], [0.0, 3.0]])
    sigmas = []
    for own in (True, False):
        strategy = config.PGPE(sigma=0.5, sigma_max_change=0.9, per_parameter_sigma=own)
        state, _ = registry.tell(strategy, registry.init(strategy, np.ones(DIM)), x, x, eps)
        sigmas.append(state.sigma)
    assert len(set(sigmas[0])) == DIM
    np.testing.assert_allclose(sigmas[1], np.mean(sigmas[0]))


def test_ars_goes_by_the_pairs_with_the_best_episodes() -> None:
    """Pair 1 differs most, but neither of its episodes is among the best."""
    x = np.array([[5.0, 4.0], [1.0, -9.0], [0.0, 6.0]])
    strategy = config.ARS(step_size=0.3, top=2)
    state, _ = registry.tell(strategy, registry.init(strategy, np.zeros(DIM)), x, x, eps)
    expected = 0.3 / (2 * np.std([5, 4, 0, 6])) * (1.0 * eps(0) - 6.0 * eps(2).astype(np.float64))
    np.testing.assert_allclose(state.theta, expected, rtol=1e-12)


def test_ars_cannot_go_by_more_pairs_than_there_are() -> None:
    raw = {
        "name": "x",
        "environment": {"id": "es/LQR-v0"},
        "budget": {"generations": 1},
        "population": {"size": 8},
        "strategy": {"kind": "ars", "top": 5},
    }
    with pytest.raises(ExperimentError, match=r"strategy\.top = 5 is more than the 4 pairs"):
        config.convert(raw, "x.toml")


def test_cma_es_refuses_policies_too_large_for_a_full_covariance() -> None:
    with pytest.raises(ExperimentError, match=r"at most 1000 parameters, got 1001; use 'sep_cma_es'"):
        registry.init(config.CMAES(), np.zeros(1001))


@given(npst.arrays(np.float64, st.tuples(st.just(6), st.integers(1, 9)), elements=st.floats(-3, 3)))
def test_the_root_is_symmetric_and_squares_to_the_matrix(factor: np.ndarray) -> None:
    matrix = factor @ factor.T
    root = matrices.symmetric_root(matrix)
    np.testing.assert_array_equal(root, root.T)
    np.testing.assert_allclose(root @ root, matrix, atol=1e-12 * max(1.0, np.abs(matrix).max()))
    np.testing.assert_allclose(
        matrices.product(matrix, factor[:, 0]), matrix @ factor[:, 0], atol=1e-12 * 100
    )
