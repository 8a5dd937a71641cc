"""Records what other libraries make of some generations, for tests/test_strategy_references.py.

    pip install evotorch==0.6.1 evosax==0.3.2 && python -m tests.record_strategies

The tests need neither. Each file in tests/golden/strategies holds some generations, float64: ``theta`` and
``sigma``, shape (generations + 1, dim); ``eps``, shape (generations, samples, dim); and ``returns``,
shape (generations, samples). Samples of mirrored strategies come in pairs, + before -.
"""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "golden" / "strategies"
DIM, SAMPLES, GENERATIONS = 5, 12, 8
THETA = np.linspace(-1.0, 1.0, DIM)


def objective(x: np.ndarray) -> np.ndarray:
    """To be maximised; shapes (n, dim) and (n,)."""
    return -np.sum(np.arange(1, DIM + 1) * (x - 1.5) ** 2, axis=1) + np.sin(5 * x[:, 0])


def with_evotorch(name: str, **settings: object) -> dict[str, np.ndarray]:
    """PGPE and SNES; N. E. Toklu is an author of ClipUp and of this library."""
    import torch
    from evotorch import Problem
    from evotorch.algorithms import PGPE, SNES

    def evaluate(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(objective(x.numpy()))

    bounds = (-1, 1)  # of the initial centre, which is given instead
    problem = Problem(
        "max",
        evaluate,
        solution_length=DIM,
        dtype=torch.float64,
        initial_bounds=bounds,
        vectorized=True,
        seed=1,
    )
    algorithm = {"PGPE": PGPE, "SNES": SNES}[name](
        problem, popsize=SAMPLES, center_init=torch.from_numpy(THETA), **settings
    )
    theta, sigma, eps, returns = [THETA], [algorithm._distribution.sigma.numpy().copy()], [], []
    for _ in range(GENERATIONS + 1):  # a step updates with the samples of the step before
        algorithm.step()
        new_theta = algorithm._distribution.mu.numpy().copy()
        new_sigma = algorithm._distribution.sigma.numpy().copy()
        if eps:
            theta.append(new_theta)
            sigma.append(new_sigma)
        eps.append((algorithm.population.values.numpy() - new_theta) / new_sigma)
        returns.append(algorithm.population.evals.numpy()[:, 0].copy())
    return _arrays(theta, sigma, eps[:-1], returns[:-1])


def ars_with_evosax(top: int, step_size: float, sigma: float) -> dict[str, np.ndarray]:
    """ARS; evosax minimises, and its population lists all + before all -."""
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    from evosax.algorithms import ARS

    algorithm = ARS(
        population_size=SAMPLES,
        solution=jax.numpy.zeros(DIM),
        optimizer=optax.sgd(step_size),
        std_schedule=optax.constant_schedule(sigma),
    )
    algorithm.elite_ratio = top / (SAMPLES // 2)
    parameters = algorithm.default_params
    key = jax.random.key(1)
    state = algorithm.init(key, jax.numpy.array(THETA), parameters)
    theta, eps, returns = [THETA], [], []
    for _ in range(GENERATIONS):
        key, ask, tell = jax.random.split(key, 3)
        population, state = algorithm.ask(ask, state, parameters)
        values = objective(np.array(population))
        paired = [i + half for i in range(SAMPLES // 2) for half in (0, SAMPLES // 2)]
        eps.append(((np.array(population) - theta[-1]) / sigma)[paired])
        returns.append(values[paired])
        state, _ = algorithm.tell(tell, population, -jax.numpy.array(values), state, parameters)
        theta.append(np.array(state.mean))
    return _arrays(theta, [np.full(DIM, sigma)] * len(theta), eps, returns)


def _arrays(*columns: list[np.ndarray]) -> dict[str, np.ndarray]:
    return dict(zip(("theta", "sigma", "eps", "returns"), map(np.stack, columns), strict=True))


def main() -> None:
    """Record all."""
    clipup = {"optimizer": "clipup", "optimizer_config": {"max_speed": 0.2}}
    adam = {"optimizer": "adam", "ranking_method": "raw"}
    common = {"stdev_init": 0.4, "center_learning_rate": 0.1, "stdev_learning_rate": 0.1}
    recorded = {
        "pgpe_clipup": with_evotorch("PGPE", **common, **clipup),
        "pgpe_adam": with_evotorch("PGPE", **common, **adam),
        "snes": with_evotorch("SNES", stdev_init=0.4),
        "ars": ars_with_evosax(top=4, step_size=0.05, sigma=0.1),
    }
    for name, arrays in recorded.items():
        np.savez_compressed(FOLDER / f"{name}.npz", allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
