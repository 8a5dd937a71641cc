import pytest
from hypothesis import given
from hypothesis import strategies as st

from es import config
from es.errors import ExperimentError
from es.protocol import Episode
from master import schedule

FAR = config.Condition(metric="metres", at_least=2.0)


def episode(return_: float, length: int, metres: float, *, failed: bool = False) -> Episode:
    return Episode(return_, 0.0, length, failed, "", {"metres": metres}, None, 0.0)


def test_signals_are_means_over_the_episodes_that_did_not_fail() -> None:
    episodes = [episode(1, 10, 1), episode(3, 20, 2), episode(9, 20, 9, failed=True), episode(2, 20, 3)]
    assert schedule.signals(episodes, 20, {"wall_speed": 0.5}) == {
        "wall_speed": 0.5,
        "capped": 0.75,
        "failed": 0.25,
        "return": 2.0,
        "length": pytest.approx(50 / 3),
        "metres": 2.0,
    }


def test_a_condition_holds_from_its_bound_on() -> None:
    means = {"return": 0.0, "metres": 2.0}
    assert schedule.holds(FAR, means)
    assert not schedule.holds(FAR, means | {"metres": 1.99})
    assert schedule.holds(config.Condition(metric="metres", at_most=2.0), means)
    assert not schedule.holds(config.Condition(metric="metres", at_most=1.99), means)


def test_nothing_holds_where_every_episode_failed() -> None:
    means = schedule.signals([episode(1, 10, 9, failed=True)], None, {})
    assert not schedule.holds(FAR, means)
    assert schedule.holds(config.Condition(metric="failed", at_least=1), means)


def test_a_metric_nobody_reports_is_named_at_once() -> None:
    end = config.Until(when=config.Condition(metric="meters", at_least=1))
    experiment = config.Experiment(
        name="x",
        environment=config.Environment(id="es/LQR-v0"),
        stage=(config.Stage(name="a", until=end), config.Stage(name="b")),
        budget=config.Budget(generations=1),
    )
    with pytest.raises(ExperimentError, match=r"metric = 'meters': expected one of .*metres"):
        schedule.check_metrics(experiment, schedule.signals([episode(1, 10, 1)], None, {}))


def test_the_end_of_a_stage_may_depend_on_a_ramp_that_begins_later() -> None:
    up = {"argument": "wall_speed", "start": 1.0, "step": 0.5, "limit": 1.7}
    up["when"] = {"metric": "metres", "at_least": 2}  # type: ignore[assignment]
    end = config.Until(when=config.Condition(metric="wall_speed", at_least=1.5))
    experiment = config.Experiment(
        name="x",
        environment=config.Environment(id="es/LearningToRun-v0"),
        stage=(
            config.Stage(name="a", until=config.Until(generations=1)),
            config.Stage(name="b", until=end, changes={"ramp": [up]}),
            config.Stage(name="c"),
        ),
        budget=config.Budget(generations=1),
    )
    means = schedule.signals([episode(1, 10, 1)], None, {})
    schedule.check_metrics(experiment, means)
    assert schedule.is_over(end, 1, 1, means | {"wall_speed": 1.5})


@given(
    size=st.integers(1, 50).map(lambda n: 2 * n),
    courses=st.integers(1, 5),
    steps=st.integers(1, 10**6),
    length=st.floats(0, 1000),
)
def test_a_generation_takes_about_the_steps_it_should(
    size: int, courses: int, steps: int, length: float
) -> None:
    rule = config.Population(size=size, courses=courses, steps=steps, maximum=10**4)
    population = schedule.next_population(rule, size, length)
    assert population % 2 == 0
    assert size <= population <= 10**4
    if size < population < 10**4:
        longer = max(length, 1.0)
        assert steps <= population * courses * longer <= steps + 2 * courses * longer


def test_without_a_number_of_steps_the_population_stays() -> None:
    assert schedule.next_population(config.Population(size=10), 20, 100.0) == 20  # as restarts left it


def test_a_ramp_moves_while_its_condition_holds_and_stops_at_its_limit() -> None:
    up = config.Ramp(argument="wall_speed", start=1.0, step=0.5, limit=1.7, when=FAR)
    down = config.Ramp(argument="obstacle_drop", start=0.06, step=-0.05, limit=0.0, when=FAR)
    far, near = {"return": 0.0, "metres": 3.0}, {"return": 0.0, "metres": 1.0}
    values = (1.0, 0.06)
    assert schedule.next_ramps((up, down), values, near) == values
    values = schedule.next_ramps((up, down), values, far)
    assert values == (1.5, pytest.approx(0.01))
    assert schedule.next_ramps((up, down), values, far) == (1.7, 0.0)


@given(st.lists(st.floats(0, 4), max_size=60))
def test_a_ramp_gives_way_where_it_may_and_stays_between_start_and_limit(metres: list[float]) -> None:
    near = config.Condition(metric="metres", at_most=1.0)
    up = config.Ramp(argument="wall_speed", start=1.0, step=0.5, limit=1.7, when=FAR, back_when=near)
    down = config.Ramp(argument="obstacle_drop", start=0.06, step=-0.05, limit=0.0, when=FAR, back_when=near)
    values = (1.0, 0.06)
    for x in metres:
        before, values = values, schedule.next_ramps((up, down), values, {"return": 0.0, "metres": x})
        assert 1.0 <= values[0] <= 1.7
        assert 0.0 <= values[1] <= 0.06
        if schedule.holds(FAR, {"metres": x}):
            assert values[0] == min(before[0] + 0.5, 1.7)
            assert values[1] == max(before[1] - 0.05, 0.0)
        elif x <= 1.0:
            assert values[0] == max(before[0] - 0.5, 1.0)
            assert values[1] == min(before[1] + 0.05, 0.06)
        else:
            assert values == before


def test_a_ramp_that_the_next_stage_has_too_goes_on() -> None:
    up = config.Ramp(argument="wall_speed", start=1.0, step=0.5, limit=1.7, when=FAR)
    down = config.Ramp(argument="obstacle_drop", start=0.06, step=-0.05, limit=0.0, when=FAR)
    assert schedule.kept_ramps((up,), (1.5,), (down, up)) == (0.06, 1.5)


@pytest.mark.parametrize(
    ("until", "over"),
    [
        (None, False),
        (config.Until(generations=5), True),
        (config.Until(generations=6), False),
        (config.Until(steps=1000), True),
        (config.Until(steps=1001), False),
        (config.Until(generations=6, when=FAR), True),
    ],
)
def test_a_stage_ends_with_the_first_of_its_ends(until: config.Until | None, over: bool) -> None:
    assert schedule.is_over(until, 5, 1000, {"return": 0.0, "metres": 2.0}) is over
