"""The master's arithmetic, without Redis."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from es import checkpoint, config, noise
from es.checkpoint import MasterState
from es.errors import DivergedError, ExperimentError
from es.protocol import Episode, Outcome, Statistics, pack
from master import schedule, update
from master.policies import build_policy, stage_policy
from tests import in_process

EXPERIMENT = config.load("lqr", ["population.size=4", "population.pairs_per_task=1"])


def initial(experiment: config.Experiment = EXPERIMENT) -> MasterState:
    return update.initial_state(experiment, build_policy(experiment))


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
        build_policy(config.load("lqr", [on, feature % 2]))


def test_the_cap_rises_when_enough_episodes_reach_it() -> None:
    rule = config.EpisodeCap(start=10, threshold=0.5, factor=1.5, maximum=20)
    assert schedule.next_cap(rule, 10, 0.5) == 15
    assert schedule.next_cap(rule, 10, 0.4) == 10
    assert schedule.next_cap(rule, 15, 1.0) == 20
    assert schedule.next_cap(None, None, 1.0) is None


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
        ExperimentError, match=r"evaluation\.arguments: expected observations .* as in the evaluations"
    ):
        initial(cartpole)


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
    before = build_policy(small).bind(trained.search.theta)(x)
    np.testing.assert_allclose(build_policy(large).bind(warm.search.theta)(x), before)
    narrow = config.load("lqr", ["policy.kind=mlp", "policy.hidden=[2]", override])
    with pytest.raises(ExperimentError, match="nowhere wider"):
        initial(narrow)


def test_a_stage_with_another_strategy_begins_anew_where_the_last_one_got_to() -> None:
    stages = """stage=[
        {name="long", until={generations=2}},
        {name="careful", changes={strategy={sigma=0.01, average=0.5}, population={size=8}}},
    ]"""
    experiment = config.load("lqr", ["population.size=4", "population.pairs_per_task=1", stages])
    pairs = outcomes((episode(1.0), episode(0.0)), (episode(0.5), episode(0.5)))
    first, _ = update.advance(experiment, initial(experiment), pairs)
    assert (first.stage, first.search.t, first.population) == (0, 1, 4)
    second, _ = update.advance(experiment, first, pairs)
    assert (second.stage, second.stage_began, second.population) == (1, (2, 80), 8)
    assert second.search.t == 0
    assert not np.array_equal(second.search.theta, first.search.theta)
    np.testing.assert_array_equal(second.average, second.search.theta)
    assert update.message("run", experiment, second).scale == pack(np.array([0.01]))


def test_a_stage_with_a_wider_policy_acts_like_the_one_before_at_first() -> None:
    stages = """stage=[
        {name="narrow", until={when={metric="length", at_least=10}}},
        {name="wide", changes={policy={hidden=[8]}}},
    ]"""
    network = ["population.size=4", "population.pairs_per_task=1", "policy.kind=mlp", "policy.hidden=[4]"]
    experiment = config.load("lqr", [*network, stages])
    narrow = build_policy(experiment)
    pairs = outcomes((episode(1.0), episode(0.0)), (episode(0.5), episode(0.5)))
    trained, _ = update.advance(config.load("lqr", network), initial(experiment), pairs)
    widened, _ = update.advance(experiment, initial(experiment), pairs)
    assert widened.layer_sizes == (2, 8, 1)
    x = np.array([0.4, -1.0])
    wide = stage_policy(experiment, 1)
    np.testing.assert_allclose(
        wide.bind(widened.search.theta)(x), narrow.bind(trained.search.theta)(x), rtol=1e-12
    )


def test_stages_that_do_not_fit_are_found_before_they_begin() -> None:
    stages = 'stage=[{name="a", until={generations=1}}, {name="b", changes=%s}]'
    with pytest.raises(ExperimentError, match="es/LQR-v0 refuses: expected a horizon of at least 1"):
        build_policy(config.load("lqr", [stages % "{environment={arguments={horizon=0}}}"]))
    with pytest.raises(
        ExperimentError, match=r"^stage\[1\]\.changes: cannot go on from the stage before: expected a network"
    ):
        build_policy(config.load("lqr", [stages % '{policy={kind="mlp"}}']))
    ramp = '{ramp=[{argument="wall", start=0, step=1, limit=2, when={metric="return", at_least=0}}]}'
    with pytest.raises(
        ExperimentError, match=r"^stage\[1\]\.changes: ramp\[0\]: es/LQR-v0 has nothing to configure"
    ):
        build_policy(config.load("lqr", [stages % ramp]))


def test_a_ramp_of_something_the_environment_does_not_know_is_refused() -> None:
    ramp = 'ramp=[{argument="wall_sped", start=0, step=1, limit=2, when={metric="return", at_least=0}}]'
    with pytest.raises(
        ExperimentError, match=r"ramp\[0\]\.argument = 'wall_sped': expected an option of LearningToRun"
    ):
        build_policy(config.load("learning-to-run", [ramp]))


def test_the_average_of_the_centre_is_what_evaluations_run() -> None:
    experiment = config.load(
        "lqr", ["population.size=4", "population.pairs_per_task=1", "strategy.average=0.75"]
    )
    pairs = outcomes((episode(1.0), episode(0.0)), (episode(0.5), episode(0.5)))
    before = initial(experiment)
    after, _ = update.advance(experiment, before, pairs)
    expected = 0.75 * before.search.theta + 0.25 * after.search.theta
    np.testing.assert_allclose(after.parameters, expected, rtol=1e-15)
    assert update.message("run", experiment, after).evaluated == pack(after.average)
    assert update.message("run", EXPERIMENT, initial()).evaluated == b""


def test_a_policy_on_several_courses_counts_with_the_mean_of_its_returns() -> None:
    experiment = config.load(
        "lqr", ["population.size=4", "population.pairs_per_task=1", "population.courses=2"]
    )
    equal = [Outcome(i, (episode(1.0), episode(2.0), episode(3.0), episode(2.0))) for i in range(2)]
    same, _ = update.advance(experiment, initial(experiment), equal)
    np.testing.assert_array_equal(same.search.theta, initial(experiment).search.theta)
    assert same.episodes == 8
    broken = [equal[0], Outcome(1, (episode(9.0, failed=True), episode(0.0), episode(9.0), episode(0.0)))]
    pulled, _ = update.advance(experiment, initial(experiment), broken)
    direction = noise.perturbation(experiment.seed, 1, 1, 3)
    step = pulled.search.theta - initial(experiment).search.theta
    np.testing.assert_array_equal(np.sign(step), -np.sign(direction))


def test_a_search_that_is_stuck_restarts_with_more_and_keeps_the_best() -> None:
    stages = 'stage=[{name="search", until={generations=5}}, {name="refine", changes={restart=%s}}]'
    restart = "{patience=2, growth=1.5}"
    experiment = config.load(
        "lqr", ["population.size=4", "population.pairs_per_task=1", f"restart={restart}", stages % restart]
    )

    def generation(state: MasterState, better: float) -> MasterState:
        pairs = outcomes((episode(better), episode(0.0)), (episode(0.5), episode(0.5)))
        return update.advance(experiment, state, pairs)[0]

    start = initial(experiment)
    first = generation(start, 1.0)
    second = generation(first, 3.0)
    third = generation(second, 2.0)
    assert (third.attempts.restarts, third.attempts.record) == (0, 1.0)
    fourth = generation(third, 2.0)
    assert (fourth.attempts.restarts, fourth.population) == (1, 6)
    assert not np.array_equal(fourth.search.theta, start.search.theta)
    np.testing.assert_array_equal(fourth.attempts.best, first.search.theta)
    fifth = generation(fourth, 0.1)
    assert fifth.stage == 1
    assert fifth.attempts.restarts == 1
