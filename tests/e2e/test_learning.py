"""It learns: to a known optimum, and a task everybody knows."""

import statistics
from pathlib import Path

import numpy as np
import pytest

from es import config
from es.envs import lqr, registry
from tests import in_process
from tests.processes import es


def test_lqr_reaches_its_analytic_optimum_within_one_percent(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    runs_dir = tmp_path_factory.mktemp("runs")
    done = es("run", "lqr", "--name", "toy", "--workers", "2", "--runs-dir", runs_dir)
    assert done.returncode == 0, done.stderr
    from es.run_dir import RunDir

    records = RunDir.open(runs_dir, "toy").evaluations()
    reached = records[max(records)].return_mean
    experiment = config.load("lqr")
    env = registry.make(experiment.environment)
    seeds = range(experiment.evaluation.seed, experiment.evaluation.seed + experiment.evaluation.episodes)
    best = np.mean([lqr.optimal_return(env.reset(seed=seed)[0]) for seed in seeds])
    assert reached == pytest.approx(best, rel=0.01)
    assert reached <= best


def test_cartpole_is_solved_within_50000_steps_by_the_median_of_5_seeds() -> None:
    scores = []
    for seed in range(1, 6):
        experiment = config.load("cartpole", [f"seed={seed}"])
        state = in_process.train(experiment)
        assert state.steps <= 50_000
        scores.append(statistics.mean(in_process.evaluation_returns(experiment, state)))
    assert statistics.median(scores) == 500.0, scores


@pytest.mark.parametrize(
    ("task", "score", "shorter"),
    [
        ("cartpole", 475.0, []),
        ("mountain-car", 90.0, ["budget.steps=60_000"]),
        ("pendulum-cma", -225.0, ["budget.steps=700_000", "seed=4"]),
    ],
)
def test_known_tasks_are_learnt_with_the_settings_of_their_reproduction(
    task: str, score: float, shorter: list[str]
) -> None:
    """A short run of one seed; `make reproduce` does the whole."""
    experiment = config.load(Path("tests/reproduction") / f"{task}.toml", shorter)
    state = in_process.train(experiment)
    assert statistics.mean(in_process.evaluation_returns(experiment, state)) >= score
