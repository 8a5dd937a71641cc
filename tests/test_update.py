"""The master's arithmetic, without Redis."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from es import checkpoint, config, noise
from es.checkpoint import MasterState
from es.errors import DivergedError, ExperimentError
from es.protocol import Episode, Outcome, Statistics, pack
from master import update
from tests import in_process

EXPERIMENT = config.load("lqr", ["population.size=4", "population.pairs_per_task=1"])


def initial(experiment: config.Experiment = EXPERIMENT) -> MasterState:
    return update.initial_state(experiment, update.build_policy(experiment))


def episode(return_: float, *, length: int = 10, failed: bool = False, seen: float | None = None) -> Episode:
    statistics = None if seen is None else Statistics(1, pack(np.full(2, seen)), pack(np.zeros(2)))
    return Episode(return_, 0.0, length, failed, "", {}, statistics, 0.1)


def outcomes(*pairs: tuple[Episode, Episode]) -> list[Outcome]:
    return [Outcome(index, pair) for index, pair in enumerate(pairs)]


def test_the_better_sign_pulls() -> None:
    state = initial()
    better, worse = outcomes((episode(1.0), episode(0.0)), (episode(0.5), episode(0.5)))
    new, _ = update.advance(EXPERIMENT, state, [better, worse])
    direction = noise.perturbation(EXPERIMENT.seed, 1, 0, 3)
    np.testing.assert_array_equal(np.sign(new.search.theta - state.search.theta), np.sign(direction))
    assert (new.generation, new.episodes, new.steps) == (1, 4, 40)


def test_failed_episodes_rank_worst_whatever_their_return() -> None:
    lucky = outcomes((episode(1e9, failed=True), episode(0.0)), (episode(1.0), episode(1.0)))
    unlucky = outcomes((episode(-1e9), episode(0.0)), (episode(1.0), episode(1.0)))
    a, b = (update.advance(EXPERIMENT, initial(), each)[0] for each in (lucky, unlucky))
    np.testing.assert_array_equal(a.search.theta, b.search.theta)


def test_an_update_that_is_no_number_is_refused() -> None:
    raw = config.load("lqr", ["population.size=4", "population.pairs_per_task=1", "strategy.shaping=raw"])
    pairs = outcomes((episode(1e300), episode(-1e300)), (episode(0), episode(0)))
    with pytest.raises(DivergedError, match="generation 1: the update is not finite"):
        update.advance(raw, initial(raw), pairs)


def test_statistics_accumulate() -> None:
    pairs = outcomes((episode(0, seen=1.0), episode(0)), (episode(0), episode(0, seen=3.0)))
    state, _ = update.advance(EXPERIMENT, initial(), pairs)
    assert state.statistics.n == 2
    np.testing.assert_allclose(state.statistics.mean, 2.0)
    np.testing.assert_allclose(state.statistics.std(0.0), 1.0)


def test_training_normalizes_observations_once_it_has_seen_some() -> None:
    overrides = ["observation_normalization.enabled=true", "observation_normalization.fraction=1"]
    experiment = config.load("lqr", ["population.size=2", "population.pairs_per_task=1", *overrides])
    experiment = msgspec.structs.replace(experiment, budget=config.Budget(generations=1))
    assert update.message("run", experiment, initial(experiment)).observation_std == b""
    state = in_process.train(experiment)
    assert state.statistics.n == state.steps
    assert update.message("run", experiment, state).observation_std == pack(state.statistics.std(0.01))


def test_frozen_statistics_do_not_change_any_more() -> None:
    experiment = config.load(
        "lqr",
        ["population.size=2", "population.pairs_per_task=1", "observation_normalization.frozen_after=1"],
    )
    first, second = (outcomes((episode(0, seen=seen), episode(0, seen=2 * seen))) for seen in (1.0, 9.0))
    state, _ = update.advance(experiment, initial(experiment), first)
    frozen, _ = update.advance(experiment, state, second)
    assert state.statistics.n == 2
    assert frozen.statistics is state.statistics


def test_statistics_are_not_frozen_before_they_exist() -> None:
    experiment = config.load(
        "lqr",
        ["population.size=2", "population.pairs_per_task=1", "observation_normalization.frozen_after=0"],
    )
    state, _ = update.advance(experiment, initial(experiment), outcomes((episode(0, seen=1.0), episode(0))))
    assert state.statistics.n == 1


def test_manual_values_reach_the_workers_and_must_fit_the_environment() -> None:
    on = "observation_normalization.enabled=true"
    feature = 'observation_normalization.features=[{kind="manual", observations=[%d], mean=0.9, std=0.1}]'
    experiment = config.load("lqr", [on, feature % 1])
    message = update.message("run", experiment, initial(experiment))
    assert message.observation_mean == pack(np.array([0.0, 0.9]))
    assert message.observation_std == pack(np.array([1.0, 0.1]))
    with pytest.raises(
        ExperimentError,
        match=r"^observation_normalization\.features\[0\]\.observations = \[2\]: expected .* 0 to 1, ",
    ):
        update.build_policy(config.load("lqr", [on, feature % 2]))


def test_the_cap_rises_when_enough_episodes_reach_it() -> None:
    rule = config.EpisodeCap(start=10, threshold=0.5, factor=1.5, maximum=20)
    assert update.next_cap(rule, 10, [10, 10, 3, 3]) == 15
    assert update.next_cap(rule, 10, [10, 9, 3, 3]) == 10
    assert update.next_cap(rule, 15, [15, 15]) == 20
    assert update.next_cap(None, None, [15, 15]) is None


@pytest.mark.parametrize(
    ("budget", "spent"),
    [
        ({"generations": 5}, True),
        ({"generations": 6}, False),
        ({"episodes": 103}, True),
        ({"episodes": 104}, False),
        ({"steps": 12345}, True),
        ({"steps": 12346}, False),
        ({"hours": 1.0}, True),
        ({"hours": 1.1}, False),
        ({"generations": 99, "hours": 0.5}, True),
    ],
)
def test_the_first_limit_reached_ends_training(budget: dict[str, float], spent: bool) -> None:
    experiment = msgspec.structs.replace(EXPERIMENT, budget=msgspec.convert(budget, config.Budget))
    state = initial()._replace(generation=5, episodes=100, steps=12345)
    assert update.budget_spent(experiment, state, elapsed=3600.0) is spent


def test_evaluations_may_use_another_environment_of_the_same_shape() -> None:
    experiment = config.load("lqr", ["evaluation.arguments.horizon=7"])
    state = initial(experiment)
    short, long = (in_process.evaluation_returns(each, state) for each in (experiment, EXPERIMENT))
    assert short[0] > long[0]
    cartpole = config.load("cartpole", ["environment.id=FrozenLake-v1", "evaluation.arguments.map_name=8x8"])
    with pytest.raises(
        ExperimentError, match=r"evaluation\.arguments: expected observations .* as in environment\.arguments"
    ):
        initial(cartpole)


def test_a_curriculum_that_does_not_fit_is_found_before_it_begins() -> None:
    stage = "curriculum=[{generation=5, arguments={%s}}]"
    with pytest.raises(ExperimentError, match="es/LQR-v0 refuses: expected a horizon of at least 1"):
        update.build_policy(config.load("lqr", [stage % "horizon=0"]))
    frozen_lake = ["environment.id=FrozenLake-v1", stage % 'map_name="8x8"']
    with pytest.raises(
        ExperimentError, match=r"^curriculum\[0\]\.arguments: expected observations and actions"
    ):
        update.build_policy(config.load("cartpole", frozen_lake))


def test_a_warm_start_takes_over_centre_and_statistics(tmp_path: Path) -> None:
    small = config.load(
        "lqr", ["policy.kind=mlp", "policy.hidden=[4]", "observation_normalization.enabled=true"]
    )
    pairs = outcomes((episode(1, seen=1.0), episode(0)), (episode(0), episode(0, seen=3.0)))
    trained, _ = update.advance(small, initial(small), pairs)
    checkpoint.save(tmp_path / "small.npz", small, trained)
    override = f"warm_start.checkpoint={tmp_path / 'small.npz'}"
    large = config.load("lqr", ["policy.kind=mlp", "policy.hidden=[8]", override])
    warm = initial(large)
    assert warm.statistics.n == 2
    x = np.array([0.4, -1.0])
    before = update.build_policy(small).bind(trained.search.theta)(x)
    np.testing.assert_allclose(update.build_policy(large).bind(warm.search.theta)(x), before)
    narrow = config.load("lqr", ["policy.kind=mlp", "policy.hidden=[2]", override])
    with pytest.raises(ExperimentError, match="nowhere wider"):
        initial(narrow)
