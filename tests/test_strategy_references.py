"""The strategies against other people's implementations: the same samples make the same update."""

import math
from pathlib import Path
from typing import Any

import cma
import cmaes
import numpy as np
import pytest

from es import config
from es.strategies import cma_es, registry, sep_cma_es

RECORDED = Path(__file__).parent / "golden" / "strategies"
DIM = 6
THETA = np.linspace(0.0, 0.5, DIM)  # near the optimum: pycma has another rule for paths that stall


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("pgpe_clipup", config.PGPE(sigma=0.4, optimizer=config.ClipUp(max_speed=0.2, learning_rate=0.1))),
        ("pgpe_adam", config.PGPE(sigma=0.4, shaping="raw", optimizer=config.Adam(learning_rate=0.1))),
        ("snes", config.SNES(sigma=0.4)),
        ("ars", config.ARS(sigma=0.1, step_size=0.05, top=4)),
    ],
)
def test_the_update_is_that_of_evotorch_or_evosax(name: str, strategy: config.AnyStrategy) -> None:
    """What they computed was recorded by tests/record_strategies.py."""
    with np.load(RECORDED / f"{name}.npz") as file:
        recorded = dict(file)
    state = registry.init(strategy, recorded["theta"][0])
    for g, (eps, returns) in enumerate(zip(recorded["eps"], recorded["returns"], strict=True), start=1):
        rows = eps[::2] if registry.mirrored(strategy) else eps
        state, _ = registry.tell(strategy, state, *2 * [returns.reshape(-1, 2)], rows.__getitem__)
        theta, scale = registry.ask(strategy, state)
        np.testing.assert_allclose(theta, recorded["theta"][g], rtol=0, atol=1e-12)
        np.testing.assert_allclose(np.broadcast_to(scale, theta.shape), recorded["sigma"][g], atol=1e-12)


def ellipsoid(x: np.ndarray) -> float:
    """To be maximised."""
    return -float(np.sum(10.0 ** np.arange(len(x)) * (x - 0.3) ** 2))


def generations(strategy: config.AnyStrategy, samples: int, number: int) -> Any:
    """The samples, their returns, and the state after they were told, generation by generation."""
    rng = np.random.default_rng(1)
    state = registry.init(strategy, THETA)
    for _ in range(number):
        centre, scale = registry.ask(strategy, state)
        eps = rng.standard_normal((samples, DIM))
        x = np.array([centre + registry.displaced(scale, e) for e in eps])
        returns = np.array([ellipsoid(each) for each in x])
        state, _ = registry.tell(strategy, state, *2 * [returns.reshape(-1, 2)], eps.__getitem__)
        yield x, returns, state


@pytest.mark.parametrize("samples", [8, 20])
@pytest.mark.parametrize("active", [False, True])
def test_cma_es_updates_like_pycma(samples: int, active: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"popsize": samples, "CMA_active": active, "updatecovwait": 0, "verbose": -9, "tolx": 0}
    reference = cma.CMAEvolutionStrategy(THETA, 0.3, options)
    *_, rates = cma_es.constants(samples, DIM, active=active)
    # Its initial covariance differs by 1e-4 from this, to keep LAPACK from equal eigenvalues.
    reference.sm.C, reference.sm.B, reference.sm.D = np.eye(DIM), np.eye(DIM), np.ones(DIM)
    # Since the tutorial pycma has changed these.
    reference.adapt_sigma.cs, reference.adapt_sigma.damps = rates.c_sigma, rates.d_sigma
    expected_length = math.sqrt(DIM) * (1 - 1 / (4 * DIM) + 1 / (21 * DIM**2))
    monkeypatch.setitem(cma.utilities.math.Mh._chiN_dict, DIM, expected_length)
    # It adds 1e-9 to each |eps| by which it scales negative weights.
    tolerance = 1e-8 if active else 1e-12
    for x, returns, state in generations(config.CMAES(sigma=0.3, active=active), samples, 25):
        reference.ask()
        reference.tell(list(x), list(-returns), check_points=False)  # no shortening of samples not its own
        np.testing.assert_allclose(state.theta, reference.mean, rtol=0, atol=tolerance)
        np.testing.assert_allclose(state.sigma, reference.sigma, rtol=tolerance)
        np.testing.assert_allclose(state.C, reference.sm.C, rtol=0, atol=tolerance * 10)


@pytest.mark.parametrize("samples", [8, 20])
def test_sep_cma_es_updates_like_cmaes(samples: int) -> None:
    reference: Any = cmaes.SepCMA(THETA.copy(), 0.3, population_size=samples)
    weights, c_1, c_mu, rates = sep_cma_es.constants(samples, DIM)
    np.testing.assert_allclose(weights[: samples // 2], reference._weights)
    np.testing.assert_allclose([rates.mu_eff, rates.c_sigma], [reference._mu_eff, reference._c_sigma])
    np.testing.assert_allclose([rates.d_sigma, rates.c_c], [reference._d_sigma, reference._cc])
    # cmaes takes the covariance's rates from elsewhere; those of the paper are tested below.
    reference._c1, reference._cmu = c_1, c_mu
    for x, returns, state in generations(config.SepCMAES(sigma=0.3), samples, 25):
        reference.tell([(each, -value) for each, value in zip(x, returns, strict=True)])
        np.testing.assert_allclose(state.theta, reference._mean, rtol=0, atol=1e-12)
        np.testing.assert_allclose(state.sigma, reference._sigma, rtol=1e-12)
        np.testing.assert_allclose(state.C, reference._C, rtol=1e-12)


def test_sep_cma_es_has_the_rates_of_the_paper() -> None:
    """Ros and Hansen 2008: c_cov of CMA-ES, times (n + 2) / 3."""
    n, samples = 20, 12
    *_, c_1, c_mu, rates = sep_cma_es.constants(samples, n)
    m = rates.mu_eff
    c_cov = 2 / (m * (n + math.sqrt(2)) ** 2) + (1 - 1 / m) * min(1, (2 * m - 1) / ((n + 2) ** 2 + m))
    assert c_1 == pytest.approx((n + 2) / 3 * c_cov / m, rel=1e-12)
    assert c_mu == pytest.approx((n + 2) / 3 * c_cov * (1 - 1 / m), rel=1e-12)
